-- Do people take the better seats? Each seat level's share of the tickets sold in a sport, in percent, and its average price.
select
    coalesce(sport_type, 'unknown')                                            as sport,
    coalesce(seat_level, 'unknown')                                            as seats,
    count(*)                                                                   as tickets_sold,
    cast(100.0 * count(*) / sum(count(*)) over (
        partition by coalesce(sport_type, 'unknown')
    ) as decimal(5, 1))                                                        as percent_of_sport,
    cast(avg(ticket_price) as decimal(10, 2))                                  as average_price
from public.sport_event_activity
group by coalesce(sport_type, 'unknown'), coalesce(seat_level, 'unknown')
order by sport, seats;
