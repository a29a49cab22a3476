"""vLLM as RL's generation engine: started, watched, given new weights, ended."""
