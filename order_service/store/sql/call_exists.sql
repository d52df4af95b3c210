-- Whether an order ever owed a call of this id.
select exists (select from partner_calls where id = :call_id::uuid and order_id = :order_id::uuid)
