"""`order-service verify`: whether database, partners' ledgers and topic tell one and the same story.

| file | what it holds |
|---|---|
| `catalogue` | the invariants: name, what it says, what to do when it fails |
| `sql/` | one question each: the orders at which an invariant does not hold |
| `books` | what is asked of one order's log and history, as a pure function |
| `ledger`, `topic` | what partners and Kafka have, as streams |
| `scratch` | tables of the verifier's own session, filled in small pieces |
| `run` | reads, asks, and asks again where work was in flight |
| `report`, `command` | what people and programs get |
"""
