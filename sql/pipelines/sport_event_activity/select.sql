select
    activity.ticket_id,                                        -- one row a sold ticket
    event.event_id,
    event.sport_type,
    event.start_date,                                          -- local time of the venue
    event.location,
    ticket.seat_level,
    ticket.seat_location,
    ticket.ticket_price,
    activity.purchased_by,                                     -- the customer's number
    customer.name,
    tokenize(lower(customer.email)) as email_address,          -- joins across tables; not the address
    mask_digits(customer.phone)     as phone_number,           -- its shape only
    activity.created_at,                                       -- when the ticket was first sold, UTC
    activity.updated_at                                        -- when it last changed hands, UTC
from ticket_activity as activity
left join ticket               on ticket.ticket_id = activity.ticket_id
left join sport_event as event on event.event_id = ticket.event_id
left join customer             on customer.customer_id = activity.purchased_by
