"""Many trials of one candidate; knows neither git nor the ledger."""
