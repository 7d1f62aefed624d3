"""Case + Solution -> Plan: labels return, quantities meet the ledger, every figure its source."""
