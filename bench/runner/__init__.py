"""From a configuration to a record: fit, predict, evaluate, write; files of outside tools; publishing."""
