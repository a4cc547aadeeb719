create table if not exists "public"."sport_event_activity" (
    "ticket_id" decimal(20,0) not null,
    "event_id" bigint,
    "sport_type" varchar(160),
    "start_date" timestamp,
    "location" varchar(480),
    "seat_level" varchar(80),
    "seat_location" varchar(80),
    "ticket_price" decimal(8,2),
    "purchased_by" bigint,
    "name" varchar(480),
    "email_address" varchar(80),
    "phone_number" varchar(160),
    "created_at" timestamp,
    "updated_at" timestamp,
    _freshet_hash bigint not null,
    _freshet_commit varchar(36) not null,
    primary key ("ticket_id")
)
diststyle key distkey ("ticket_id")
sortkey ("updated_at");
comment on table "public"."sport_event_activity" is 'Freshet pipeline sport_event_activity: one row a ticket_activity of sports';
comment on column "public"."sport_event_activity"."ticket_id" is 'one row a sold ticket';
comment on column "public"."sport_event_activity"."start_date" is 'local time of the venue';
comment on column "public"."sport_event_activity"."purchased_by" is 'the customer''s number';
comment on column "public"."sport_event_activity"."email_address" is 'joins across tables; not the address';
comment on column "public"."sport_event_activity"."phone_number" is 'its shape only';
comment on column "public"."sport_event_activity"."created_at" is 'when the ticket was first sold, UTC';
comment on column "public"."sport_event_activity"."updated_at" is 'when it last changed hands, UTC';
comment on column "public"."sport_event_activity"."_freshet_hash" is 'Freshet: hash of the columns as they were written; an equal row is not written again';
comment on column "public"."sport_event_activity"."_freshet_commit" is 'Freshet: the commit that wrote this row';
grant usage on schema "public" to role "analysts";
grant select on "public"."sport_event_activity" to role "analysts";
