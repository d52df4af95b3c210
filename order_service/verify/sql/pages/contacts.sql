-- The personal data of the orders of a page, as far as it is not erased: only its hash is looked at.
select order_id, version, salt, document
from order_contacts
where (:after::uuid is null or order_id > :after) and (:upto::uuid is null or order_id <= :upto)
    and (:only::uuid[] is null or order_id = any(:only))
