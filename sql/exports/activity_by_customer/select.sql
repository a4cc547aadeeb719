-- What each customer holds tickets for, newest first. Rows without a customer have no key, and are left out.
select
    email_address as customer_token,
    ticket_id,
    event_id,
    sport_type,
    start_date,
    location,
    seat_level,
    seat_location,
    ticket_price,
    created_at,
    updated_at
from public.sport_event_activity
where email_address is not null
