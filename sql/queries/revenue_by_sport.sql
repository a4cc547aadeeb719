-- Which sports sell? Tickets sold and their revenue, the best first.
select
    coalesce(sport_type, 'unknown') as sport,
    count(*)                        as tickets_sold,
    sum(ticket_price)               as revenue
from public.sport_event_activity
group by coalesce(sport_type, 'unknown')
order by revenue desc nulls last, sport;
