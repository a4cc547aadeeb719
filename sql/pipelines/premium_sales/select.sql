select
    activity.ticket_id,                 -- one row a sold ticket that costs 150 or more; a refunded one goes
    event.sport_type,
    ticket.seat_level,
    ticket.ticket_price,
    activity.purchased_by               -- the customer's number
from ticket_activity as activity
inner join ticket       on ticket.ticket_id = activity.ticket_id
left join sport_event as event on event.event_id = ticket.event_id
where ticket.ticket_price >= 150
