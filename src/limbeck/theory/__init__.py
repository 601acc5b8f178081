"""The paper and what goes beyond it: arrays in, arrays or frozen results out."""
