-- What Redshift has and PostgreSQL has not, defined here so that statements need not be rewritten.
-- Everything lives in the schema redshift_compat, which stands in the search path before pg_catalog.
create schema if not exists redshift_compat;
set search_path = redshift_compat, pg_catalog;

-- Time. GETDATE is the statement's start in whole seconds, SYSDATE the transaction's, both in UTC.
create or replace function getdate() returns timestamp language sql stable
    return date_trunc('second', statement_timestamp() at time zone 'UTC');
create or replace function sysdate() returns timestamp language sql stable
    return transaction_timestamp() at time zone 'UTC';

create or replace function date_unit(part text) returns text language sql immutable return
    case lower(part)
        when 'y' then 'year' when 'yr' then 'year' when 'yrs' then 'year' when 'years' then 'year'
        when 'qtr' then 'quarter' when 'qtrs' then 'quarter' when 'quarters' then 'quarter'
        when 'mon' then 'month' when 'mons' then 'month' when 'months' then 'month'
        when 'w' then 'week' when 'weeks' then 'week'
        when 'd' then 'day' when 'days' then 'day'
        when 'h' then 'hour' when 'hr' then 'hour' when 'hrs' then 'hour' when 'hours' then 'hour'
        when 'm' then 'minute' when 'min' then 'minute' when 'mins' then 'minute' when 'minutes' then 'minute'
        when 's' then 'second' when 'sec' then 'second' when 'secs' then 'second' when 'seconds' then 'second'
        when 'ms' then 'millisecond' when 'msec' then 'millisecond' when 'msecs' then 'millisecond'
        when 'milliseconds' then 'millisecond'
        when 'us' then 'microsecond' when 'usec' then 'microsecond' when 'usecs' then 'microsecond'
        when 'microseconds' then 'microsecond'
        else lower(part)
    end;

-- DATEDIFF counts boundaries crossed: from 23:59 to 00:01 is one day. A Redshift week begins on Sunday here.
create or replace function datediff(part text, first_time timestamp, last_time timestamp) returns bigint
    language plpgsql immutable as $$
declare
    unit text := redshift_compat.date_unit(part);
    months bigint;
begin
    if first_time is null or last_time is null then
        return null;
    end if;
    months := (extract(year from last_time) - extract(year from first_time)) * 12
        + extract(month from last_time) - extract(month from first_time);
    return case unit
        when 'year' then extract(year from last_time) - extract(year from first_time)
        when 'quarter' then (extract(year from last_time) - extract(year from first_time)) * 4
            + extract(quarter from last_time) - extract(quarter from first_time)
        when 'month' then months
        when 'week' then (date_trunc('week', last_time + interval '1 day')::date
            - date_trunc('week', first_time + interval '1 day')::date) / 7
        when 'day' then last_time::date - first_time::date
        when 'hour' then extract(epoch from date_trunc('hour', last_time) - date_trunc('hour', first_time)) / 3600
        when 'minute' then extract(epoch from date_trunc('minute', last_time) - date_trunc('minute', first_time)) / 60
        when 'second' then extract(epoch from date_trunc('second', last_time) - date_trunc('second', first_time))
        when 'millisecond' then extract(epoch from date_trunc('milliseconds', last_time)
            - date_trunc('milliseconds', first_time)) * 1000
        when 'microsecond' then extract(epoch from last_time - first_time) * 1000000
    end;
exception when case_not_found then
    raise exception 'timestamp units "%" not recognized', part;
end $$;

create or replace function dateadd(part text, amount bigint, moment timestamp) returns timestamp
    language plpgsql immutable strict as $$
declare
    unit text := redshift_compat.date_unit(part);
begin
    if unit = 'quarter' then
        return moment + amount * interval '3 months';
    end if;
    if unit not in ('year', 'month', 'week', 'day', 'hour', 'minute', 'second', 'millisecond', 'microsecond') then
        raise exception 'timestamp units "%" not recognized', part;
    end if;
    return moment + amount * ('1 ' || unit)::interval;
end $$;

create or replace function last_day(moment timestamp) returns date language sql immutable
    return (date_trunc('month', moment) + interval '1 month - 1 day')::date;
-- ADD_MONTHS keeps the end of a month at the end of a month.
create or replace function add_months(moment timestamp, months bigint) returns timestamp language sql immutable return
    case when moment::date = last_day(moment)
        then last_day(moment + months * interval '1 month') + moment::time
        else moment + months * interval '1 month'
    end;
create or replace function trunc(moment timestamp) returns date language sql immutable return moment::date;
create or replace function convert_timezone(source_zone text, target_zone text, moment timestamp) returns timestamp
    language sql immutable return (moment at time zone source_zone) at time zone target_zone;
create or replace function convert_timezone(target_zone text, moment timestamp) returns timestamp
    language sql immutable return (moment at time zone 'UTC') at time zone target_zone;

-- Text.
create or replace function len(value text) returns integer language sql immutable return char_length(value);
create or replace function len(value char) returns integer language sql immutable return char_length(value);
create or replace function charindex(part text, whole text) returns integer language sql immutable
    return strpos(whole, part);
create or replace function replicate(value text, times integer) returns text language sql immutable
    return repeat(value, times);
create or replace function sha2(value text, bits integer) returns text language sql immutable return
    encode(case bits
        when 0 then sha256(convert_to(value, 'UTF8')) when 224 then sha224(convert_to(value, 'UTF8'))
        when 256 then sha256(convert_to(value, 'UTF8')) when 384 then sha384(convert_to(value, 'UTF8'))
        when 512 then sha512(convert_to(value, 'UTF8')) end, 'hex');
-- REGEXP_REPLACE replaces every match; PostgreSQL's only the first unless told.
create or replace function regexp_replace(value text, pattern text, replacement text) returns text
    language sql immutable return pg_catalog.regexp_replace(value, pattern, replacement, 'g');
create or replace function regexp_replace(value text, pattern text) returns text
    language sql immutable return pg_catalog.regexp_replace(value, pattern, '', 'g');
-- CONCAT is NULL when an argument is; PostgreSQL's leaves NULLs out.
create or replace function concat(first_part text, second_part text) returns text language sql immutable
    return first_part || second_part;
-- CHECKSUM takes texts, whole numbers and decimals. Its numbers are ours: the same for equal values, and nothing more.
create or replace function checksum(value text) returns integer language sql immutable strict
    return hashtextextended(value, 0)::bit(32)::integer;
create or replace function checksum(value bigint) returns integer language sql immutable strict
    return hashint8extended(value, 0)::bit(32)::integer;
create or replace function checksum(value integer) returns integer language sql immutable strict
    return hashint8extended(value, 0)::bit(32)::integer;
create or replace function checksum(value smallint) returns integer language sql immutable strict
    return hashint8extended(value, 0)::bit(32)::integer;
create or replace function checksum(value numeric) returns integer language sql immutable strict
    return hash_numeric_extended(value, 0)::bit(32)::integer;

-- SUPER is PostgreSQL's json, which keeps a text as it is; it has JSON_SERIALIZE itself.
create or replace function json_parse(value text) returns json language sql immutable strict return value::json;
create or replace function json_size(value json) returns integer language sql immutable strict
    return octet_length(value::text);

create or replace function strtol(value text, base integer) returns bigint language plpgsql immutable strict as $$
declare
    digits text := lower(ltrim(value));
    sign bigint := 1;
    total bigint := 0;
    digit integer;
begin
    if left(digits, 1) = '-' then
        sign := -1;
        digits := substr(digits, 2);
    end if;
    if base = 16 and left(digits, 2) = '0x' then
        digits := substr(digits, 3);
    end if;
    for place in 1 .. length(digits) loop
        digit := strpos('0123456789abcdefghijklmnopqrstuvwxyz', substr(digits, place, 1)) - 1;
        if digit < 0 or digit >= base then
            raise exception 'The input is not valid to be converted to base %', base;
        end if;
        total := total * base + digit;
    end loop;
    return sign * total;
end $$;
create or replace aggregate listagg(text) (sfunc = textcat, stype = text);
create or replace aggregate listagg(text, text)
    (sfunc = string_agg_transfn, stype = internal, finalfunc = string_agg_finalfn);

-- NVL2 and DECODE compare NULL with NULL as equal.
create or replace function nvl2(tested anyelement, present anycompatible, absent anycompatible) returns anycompatible
    language sql immutable as 'select case when $1 is not null then $2 else $3 end';
do $$
declare
    tested text;
begin
    foreach tested in array array['integer', 'bigint', 'numeric', 'float8', 'text', 'date', 'timestamp', 'boolean'] loop
        for arguments in 3 .. 12 loop
            execute format(
                'create or replace function redshift_compat.decode(%s) returns anycompatible language sql immutable as %L',
                (select string_agg(case when place = 1 or place % 2 = 0 and place < arguments then tested
                        else 'anycompatible' end, ', ' order by place)
                    from generate_series(1, arguments) as place),
                'select case ' || (select string_agg(format('when $1 = $%s or ($1 is null and $%s is null) then $%s',
                        place, place, place + 1), ' ' order by place)
                    from generate_series(2, arguments - 1, 2) as place)
                    || case when arguments % 2 = 0 then format(' else $%s', arguments) else '' end || ' end');
        end loop;
    end loop;
end $$;

-- AVG of whole numbers is a whole number.
create or replace function avg_add(state numeric[], value bigint) returns numeric[] language sql immutable strict
    return array[state[1] + 1, state[2] + value];
create or replace function avg_end(state numeric[]) returns bigint language sql immutable
    return trunc(state[2] / nullif(state[1], 0));
create or replace function avg_end(state bigint[]) returns bigint language sql immutable
    return state[2] / nullif(state[1], 0);
create or replace aggregate avg(smallint)
    (sfunc = int2_avg_accum, stype = bigint[], finalfunc = avg_end, initcond = '{0,0}');
create or replace aggregate avg(integer)
    (sfunc = int4_avg_accum, stype = bigint[], finalfunc = avg_end, initcond = '{0,0}');
create or replace aggregate avg(bigint)
    (sfunc = avg_add, stype = numeric[], finalfunc = avg_end, initcond = '{0,0}');

-- What the last COPY and UNLOAD of the session did; the session of a statement ends with its transaction.
create or replace function last_of(what text) returns bigint language sql stable
    return coalesce(nullif(current_setting('redshift.last_' || what, true), ''), '-1')::bigint;
create or replace function pg_last_copy_id() returns integer language sql stable return last_of('copy_id');
create or replace function pg_last_copy_count() returns bigint language sql stable return last_of('copy_count');
create or replace function pg_last_unload_id() returns integer language sql stable return last_of('unload_id');
create or replace function pg_last_unload_count() returns bigint language sql stable return last_of('unload_count');

-- External tables: what AWS keeps in the Glue Data Catalog. `external.py` writes it; a table is a view over rows that
-- `spectrum.py` reads into a temporary table when a statement names it.
create table if not exists external_database (name text primary key);
create table if not exists external_schema (name text primary key, database text not null, role text not null);
create table if not exists external_table (
    id integer generated always as identity primary key, database text not null, name text not null, format text not null,
    location text not null, columns jsonb not null, keys jsonb not null, options jsonb not null, unique (database, name));
create table if not exists external_partition (
    table_id integer not null, key_values jsonb not null, location text not null, primary key (table_id, key_values));
create or replace function external_rows(id integer) returns setof record language plpgsql as $$
begin
    return query execute format('select * from pg_temp.external_%s', id);
end $$;

create or replace view svv_external_schemas as
select n.oid::integer as esoid, 1::smallint as eskind, e.name as schemaname, n.nspowner::integer as esowner,
       e.database as databasename, json_build_object('IAM_ROLE', e.role)::text as esoptions
  from external_schema as e join pg_namespace as n on n.nspname = e.name;
create or replace view svv_external_tables as
select e.name as schemaname, t.name as tablename, t.location, t.format as input_format, t.options::text as parameters
  from external_table as t join external_schema as e on e.database = t.database;
create or replace view svv_external_columns as
select e.name as schemaname, t.name as tablename, c.value ->> 'name' as columnname, c.value ->> 'type' as external_type,
       c.ordinality::integer as columnnum,
       greatest(c.ordinality::integer - jsonb_array_length(t.columns), 0) as part_key
  from external_table as t join external_schema as e on e.database = t.database
 cross join lateral jsonb_array_elements(t.columns || t.keys) with ordinality as c;
create or replace view svv_external_partitions as
select e.name as schemaname, t.name as tablename, p.key_values::text as "values", p.location
  from external_partition as p join external_table as t on t.id = p.table_id
  join external_schema as e on e.database = t.database;

-- System views.
create or replace view svv_tables as
select current_database()::varchar(128) as table_catalog,
       n.nspname::varchar(128) as table_schema,
       c.relname::varchar(128) as table_name,
       case when n.nspname like 'pg_temp%' then 'LOCAL TEMPORARY'
            when exists (select from external_schema as e where e.name = n.nspname) then 'EXTERNAL TABLE' when c.relkind = 'v' then 'VIEW' else 'BASE TABLE' end
           ::varchar(128) as table_type,
       obj_description(c.oid, 'pg_class')::varchar(65535) as remarks
  from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
 where c.relkind in ('r', 'v') and n.nspname not in ('redshift_compat', 'pg_toast');

create or replace view svv_columns as
select current_database()::varchar(128) as table_catalog,
       n.nspname::varchar(128) as table_schema,
       c.relname::varchar(128) as table_name,
       a.attname::varchar(128) as column_name,
       a.attnum::integer as ordinal_position,
       pg_get_expr(d.adbin, d.adrelid)::varchar(4000) as column_default,
       case when a.attnotnull then 'NO' else 'YES' end::varchar(3) as is_nullable,
       case when a.atttypid = 114 then 'super' else format_type(a.atttypid, null) end::varchar(128) as data_type,
       case when a.atttypid in (1042, 1043) and a.atttypmod > 0 then a.atttypmod - 4 end::integer
           as character_maximum_length,
       case a.atttypid when 21 then 16 when 23 then 32 when 20 then 64 when 700 then 24 when 701 then 53
           when 1700 then (a.atttypmod - 4) >> 16 end::integer as numeric_precision,
       case when a.atttypid in (20, 21, 23) then 2 when a.atttypid in (700, 701) then 2 when a.atttypid = 1700 then 10 end
           ::integer as numeric_precision_radix,
       case when a.atttypid in (20, 21, 23) then 0 when a.atttypid = 1700 then (a.atttypmod - 4) & 2047 end::integer
           as numeric_scale,
       case when a.atttypid in (1114, 1184) then 6 end::integer as datetime_precision,
       col_description(c.oid, a.attnum)::varchar(65535) as remarks
  from pg_attribute as a
  join pg_class as c on c.oid = a.attrelid
  join pg_namespace as n on n.oid = c.relnamespace
  left join pg_attrdef as d on d.adrelid = a.attrelid and d.adnum = a.attnum
 where c.relkind in ('r', 'v') and a.attnum > 0 and not a.attisdropped and n.nspname not in ('redshift_compat', 'pg_toast');

create or replace view svv_roles as
select oid::integer as role_id, rolname::varchar(128) as role_name, 'sandbox'::varchar(128) as role_owner
  from pg_roles where not rolcanlogin and rolname not like 'pg\_%' and pg_has_role(current_user, oid, 'member');

create or replace view svv_redshift_schemas as
select current_database()::varchar(128) as database_name, nspname::varchar(128) as schema_name, nspowner::integer as schema_owner,
       'local'::varchar(128) as schema_type, null::varchar(128) as schema_acl, null::varchar(128) as schema_option
  from pg_namespace
 where nspname not like 'pg\_%' and nspname not in ('redshift_compat', 'information_schema')
   and has_schema_privilege(current_user, oid, 'usage') and nspname not in (select name from external_schema)
union all -- Redshift lists the schemas of other databases too; a new serverless namespace comes with this one
select 'sample_data_dev', name, 1, 'local', null, null from (values ('tickit'), ('tpch'), ('tpcds')) as samples (name);

create or replace function rows_of(relation oid) returns bigint language plpgsql stable as $$
declare
    counted bigint;
begin
    execute format('select count(*) from %s', relation::regclass) into counted;
    return counted;
end $$;
-- How tables are distributed and sorted, which PostgreSQL does not know; CREATE TABLE writes it.
create table if not exists table_keys (
    table_id oid primary key, distribution text, sort_columns text[], sort_style text, created_at timestamp);
create or replace function note_table(oid, text, text[], text, oid)
    returns void language sql security definer set search_path = pg_catalog, pg_temp as $$
    insert into redshift_compat.table_keys
    select $1, coalesce(nullif($2, ''), source.distribution, ''),
           case when $4 = '' then coalesce(source.sort_columns, '{}') else $3 end,
           coalesce(nullif($4, ''), source.sort_style, ''), timezone('UTC', statement_timestamp())
      from (select) as one left join redshift_compat.table_keys as source on source.table_id = $5
    on conflict (table_id) do update set (distribution, sort_columns, sort_style, created_at)
        = (excluded.distribution, excluded.sort_columns, excluded.sort_style, excluded.created_at)  -- a number used again
$$;

create or replace view svv_table_info as
select current_database()::text as "database", n.nspname::text as "schema", c.oid::integer as table_id,
       c.relname::text as "table", 'Y, AUTO(ENCODE)'::text as encoded,
       case when k.distribution is null or k.distribution in ('', 'AUTO') then 'AUTO(ALL)' else k.distribution end
           as diststyle,
       case when k.sort_style = 'interleaved' then 'INTERLEAVED'
           else coalesce(k.sort_columns[1], 'AUTO(SORTKEY)') end as sortkey1,
       (select max(a.atttypmod - 4) from pg_attribute as a
         where a.attrelid = c.oid and a.atttypid = 1043 and a.attnum > 0 and not a.attisdropped)::integer as max_varchar,
       null::char(32) as sortkey1_enc, coalesce(cardinality(k.sort_columns), 0) as sortkey_num,
       ceil(pg_total_relation_size(c.oid) / 1048576.0)::bigint as size, null::numeric(10, 4) as pct_used,
       0::bigint as empty, null::numeric(5, 2) as unsorted, null::numeric(5, 2) as stats_off,
       counted.tbl_rows::numeric(38, 0) as tbl_rows, null::numeric(19, 2) as skew_sortkey1,
       null::numeric(19, 2) as skew_rows, counted.tbl_rows::numeric(38, 0) as estimated_visible_rows,
       null::text as risk_event, null::numeric(12, 2) as vacuum_sort_benefit, k.created_at as create_time
  from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
  left join table_keys as k on k.table_id = c.oid
 cross join lateral (select rows_of(c.oid) as tbl_rows) as counted
 where c.relkind = 'r' and n.nspname not in ('pg_catalog', 'information_schema', 'redshift_compat', 'pg_toast')
   and n.nspname not like 'pg\_temp%' and counted.tbl_rows > 0;

-- What statements did; `history.py` writes these tables. An administrator sees all rows, everybody else his own.
create table if not exists history_query (
    user_id bigint, query_id bigint, transaction_id bigint, session_id integer, database_name text,
    began_at timestamp, ended_at timestamp, query_type text, status text, error text, query_text text,
    returned_rows bigint, returned_bytes bigint,
    load_table text, load_table_id bigint, load_source text, load_format text, loaded_rows bigint, loaded_bytes bigint);
create table if not exists history_load_file (
    user_id bigint, query_id bigint, transaction_id bigint, session_id integer, database_name text,
    began_at timestamp, ended_at timestamp, url text, bytes bigint, lines bigint);
create table if not exists history_load_error (
    user_id bigint, query_id bigint, transaction_id bigint, session_id integer, database_name text,
    began_at timestamp, ended_at timestamp, table_id bigint, url text, line bigint, column_name text, column_type text,
    column_length text, place integer, code integer, reason text, raw_line text, raw_value text);
create or replace function is_mine(owner bigint) returns boolean language sql stable return exists (
    select from pg_catalog.pg_roles where rolname = current_user and (oid::bigint = owner or rolsuper));

create or replace view sys_query_history as
select user_id::integer, query_id, 'default'::char(320) as query_label, transaction_id, session_id,
       database_name::char(128), query_type::char(32), status::char(10), false as result_cache_hit,
       began_at as start_time, ended_at as end_time,
       (extract(epoch from ended_at - began_at) * 1000000)::bigint as elapsed_time, 0::bigint as queue_time,
       (extract(epoch from ended_at - began_at) * 1000000)::bigint as execution_time,
       left(error, 512)::char(512) as error_message, returned_rows, returned_bytes,
       left(query_text, 4000)::char(4000) as query_text
  from history_query where is_mine(user_id);

create or replace view sys_load_history as
select q.user_id::integer, q.query_id, q.transaction_id, q.session_id, q.database_name,
       case when q.status = 'success' then 'completed' else 'aborted' end as status, q.load_table as table_name,
       q.began_at as start_time, q.ended_at as end_time,
       (extract(epoch from q.ended_at - q.began_at) * 1000000)::bigint as duration,
       q.load_source as data_source, q.load_format as file_format, q.loaded_rows, q.loaded_bytes,
       f.files as source_file_count, f.bytes as source_file_bytes, f.files as file_count_scanned,
       f.bytes as file_bytes_scanned, e.errors as error_count, 0::bigint as copy_job_id
  from history_query as q
 cross join lateral (select count(*)::integer as files, coalesce(sum(l.bytes), 0)::bigint as bytes
                       from history_load_file as l where l.query_id = q.query_id) as f
 cross join lateral (select count(*) as errors from history_load_error as l where l.query_id = q.query_id) as e
 where q.load_table is not null and is_mine(q.user_id);

create or replace view sys_load_detail as
select user_id::integer, query_id::integer, url::char(256) as file_name, bytes::integer as bytes_scanned,
       lines::integer as lines_scanned, ended_at as record_time, 0 as splits_scanned, began_at as start_time,
       ended_at as end_time
  from history_load_file where is_mine(user_id);

create or replace view stl_load_commits as
select user_id::integer as userid, query_id::integer as query, 0 as slice, url::char(256) as name, url::char(256) as filename,
       0 as byte_offset, lines::integer as lines_scanned, 0 as errors, ended_at as curtime, 1 as status
  from history_load_file where is_mine(user_id);

create or replace view sys_load_error_detail as
select user_id::integer, query_id, transaction_id, session_id, database_name::char(64), table_id::integer,
       began_at as start_time, url::char(256) as file_name, line as line_number, column_name::char(127),
       column_type::char(10), column_length::char(10), place as "position", code as error_code,
       left(reason, 512)::char(512) as error_message
  from history_load_error where is_mine(user_id);

create or replace view stl_load_errors as
select user_id::integer as userid, 0 as slice, table_id::integer as tbl, began_at as starttime, session_id as session,
       query_id::integer as query, url::char(256) as filename, line as line_number, column_name::char(127) as colname,
       column_type::char(10) as type, column_length::char(10) as col_length, place as "position",
       raw_line::char(1024), raw_value::char(1024) as raw_field_value, code as err_code,
       left(reason, 100)::char(100) as err_reason, 0 as is_partial, 0::bigint as start_offset, 0::bigint as copy_job_id
  from history_load_error where is_mine(user_id);

create or replace view stv_db_isolation_level as
select current_database()::varchar(128) as db_name, 'Snapshot'::varchar(20) as isolation_level;

grant usage on schema redshift_compat to public;
grant select on all tables in schema redshift_compat to public;
grant insert, delete on external_database, external_schema, external_table, external_partition to public;
revoke select on table_keys, svv_table_info from public;
revoke select on history_query, history_load_file, history_load_error from public;
