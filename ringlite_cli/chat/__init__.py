"""The one way from a conversation to tokens: the prompt that every stage asks with, and the sample that SFT trains."""
