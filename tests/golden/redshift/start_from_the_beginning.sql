lock freshet.orders_lock;
insert into freshet.orders_steps (step, follows, kind, run, started_at, committed_at, received, ignored, deletes_ignored, keys_moved, staged, merged, superseded, propagated, quarantined, bytes) select max(case when head = '00000000-0000-0000-0000-000000000000' then '11111111-1111-1111-1111-111111111111' end), '00000000-0000-0000-0000-000000000000', 'start', 'run-1', timestamp '2024-07-29 12:00:00.123456', sysdate, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 from freshet.orders_state;
update freshet.orders_state set head = '11111111-1111-1111-1111-111111111111', moved_at = sysdate, stream_created_at = timestamp '2024-07-29 12:00:00.123456', stream_arn = 'arn:aws:kinesis:us-east-1:123456789012:stream/s';
delete from freshet.orders_positions;
insert into freshet.orders_positions (shard, kind, sequence, at_time, proved_at) values ('shardId-000000000000', 'TRIM_HORIZON', null, null, timestamp '2024-07-29 12:00:00.123456');
