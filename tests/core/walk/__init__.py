"""An exhaustive walk through the rules: one order, its partners and the network between them, breadth first.

| module | what it holds |
|---|---|
| `normal` | the normal form of an order: times become phases, ids become names |
| `menu` | everything that clients, staff and timers may do |
| `partners` | the truth at the partners, and every lawful answer |
| `rules` | `decide`, each question asked once, each answer examined by `steps` and `table` |
| `steps` | what must hold of every single decision |
| `table` | RULES.md: the answers by state and command, as data |
| `claims` | what must hold of every world, and of every world at rest |
| `world` | the moves: commands, timers, answers, lost and late messages, deaths |
| `rest` | from every world the order comes to rest, whoever stays silent |
| `explore` | the search itself, and its figures |
| `faults` | planted faults of the rules, each of which the walk must find |

It needs nothing but `order_service.core`: no database, no network, no clock.
"""
