"""One described change: its candidate, its runs, its decision. The only room where git, runs and ledger meet."""
