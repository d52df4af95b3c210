-- The stock ledger replayed: a reservation is held once and ends once, with the pieces it began with.
select h.order_id, h.reference as subject, null as stands, format('%s: %s', h.reference, h.kinds) as detail
from holds h
where h.kinds not in ('reserve', 'reserve release', 'reserve commit', 'release')
    and (:only::uuid[] is null or h.order_id = any(:only))
union all
select order_id, reference, null, format('%s: %s pieces of %s are left over', reference, left_over, product_id)
from (
    select order_id, reference, product_id, sum(case kind when 'reserve' then quantity else -quantity end) as left_over
    from stock_entries
    where product_id is not null and (:only::uuid[] is null or order_id = any(:only))
    group by order_id, reference, product_id
    having count(*) filter (where kind <> 'reserve') > 0
) p
where left_over <> 0 and (select h.kinds from holds h where h.reference = p.reference and h.order_id = p.order_id)
    in ('reserve release', 'reserve commit')
