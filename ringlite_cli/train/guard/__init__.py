"""The guard against collapse: its rules, and what it does when one is broken."""
