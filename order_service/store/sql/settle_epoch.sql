-- Raises the epoch of the log once after a move to another cluster; otherwise changes nothing.
update log_epoch e
set epoch = e.epoch + 1, system_identifier = c.system_identifier
from pg_control_system() c
where e.system_identifier <> c.system_identifier
