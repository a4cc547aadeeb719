select
    `activity.ticket_id` as `ticket_id`,
    `event.event_id` as `event_id`,
    `event.sport_type` as `sport_type`,
    `event.start_date` as `start_date`,
    `event.location` as `location`,
    `ticket.seat_level` as `seat_level`,
    `ticket.seat_location` as `seat_location`,
    `ticket.ticket_price` as `ticket_price`,
    `activity.purchased_by` as `purchased_by`,
    `customer.name` as `name`,
    lower(`customer.email`) as `email_address`,
    `customer.phone` as `phone_number`,
    `activity.created_at` as `created_at`,
    `activity.updated_at` as `updated_at`,
    true as _freshet_admitted,
    `asked`
from freshet_rows
