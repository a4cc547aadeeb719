-- One row each time somebody saw the news feed in an app, as Braze Currents exports it.
-- Braze delivers an event at least once: the same id may stand in two files.
create table if not exists public.news_feed_impression (
    id               varchar(64) not null,
    user_id          varchar(64),
    external_user_id varchar(256),
    app_id           varchar(64),
    time             timestamp,
    platform         varchar(32),
    os_version       varchar(64),
    device_model     varchar(128),
    _freshet_batch   varchar(36)
)
distkey (user_id)
sortkey (time)
