-- The example's source: sports events, their tickets, the customers, and who bought which ticket.
create table if not exists sport_event (
    event_id    int unsigned not null auto_increment,
    sport_type  varchar(40)  not null,
    start_date  datetime     not null,
    location    varchar(120) not null,
    primary key (event_id)
);

create table if not exists ticket (
    ticket_id     bigint unsigned not null auto_increment,
    event_id      int unsigned    not null,
    seat_level    varchar(20)     not null,
    seat_location varchar(20)     not null,
    ticket_price  decimal(8, 2)   not null,
    primary key (ticket_id),
    key ticket_event (event_id),
    constraint ticket_of_event foreign key (event_id) references sport_event (event_id)
);

create table if not exists customer (
    customer_id int unsigned not null auto_increment,
    name        varchar(120) not null,
    email       varchar(254) not null,
    phone       varchar(40)  null,
    primary key (customer_id)
);

create table if not exists ticket_activity (
    ticket_id    bigint unsigned not null,
    purchased_by int unsigned    not null,
    created_at   datetime(3)     not null,
    updated_at   datetime(3)     not null,
    primary key (ticket_id),
    key activity_customer (purchased_by),
    constraint activity_of_ticket foreign key (ticket_id) references ticket (ticket_id),
    constraint activity_by_customer foreign key (purchased_by) references customer (customer_id)
);
