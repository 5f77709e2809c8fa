-- Candles: one row per bar that exists. A lost bar has no row; nothing is filled in.

create table series (
    id int generated always as identity primary key,
    exchange text not null check (exchange <> ''),
    symbol text not null check (symbol <> ''),
    timeframe text not null check (timeframe in ('1m', '5m', '15m', '1h', '4h', '1d')),
    revision bigint not null default 0,
    unique (exchange, symbol, timeframe)
);
comment on table series is 'One market at one timeframe; revision counts the transactions that changed its candles.';

-- No foreign key to series: its check per row would triple the cost of a bulk load. Series are never deleted.
create table candle (
    series_id int not null,
    ts bigint not null,
    open float8 not null,
    high float8 not null,
    low float8 not null,
    close float8 not null,
    volume float8 not null,
    primary key (series_id, ts),
    constraint candle_possible check (
        low > 0 and open between low and high and close between low and high and high < 'Infinity'
        and volume >= 0 and volume < 'Infinity'
    )
);
comment on column candle.ts is 'Open time of the bar, epoch milliseconds UTC.';

create function refuse_change() returns trigger language plpgsql as $$
begin
    raise exception '% of % is refused: its rows are kept as they were written; %', lower(tg_op), tg_table_name,
        coalesce(nullif(tg_argv[0], ''), 'add a new one');
end $$;

create trigger series_are_kept before delete or truncate on series
    for each statement execute function refuse_change('delete its candles instead');

create view market_data_enhanced as
    select s.exchange, s.symbol, s.timeframe, c.ts as timestamp, c.open, c.high, c.low, c.close, c.volume
    from candle c join series s on s.id = c.series_id;

create view market_data as
    select exchange, symbol, timestamp, open, high, low, close, volume
    from market_data_enhanced where timeframe = '1m';

create function timeframe_ms(timeframe text) returns bigint language sql immutable as $$
    select case timeframe when '1m' then 60000 when '5m' then 300000 when '15m' then 900000
        when '1h' then 3600000 when '4h' then 14400000 when '1d' then 86400000 end::bigint
$$;

create function insert_market_data() returns trigger language plpgsql as $$
declare
    frame text := '1m';
    series_number int;
begin
    if tg_table_name = 'market_data_enhanced' then
        frame := new.timeframe;
    end if;
    if new.timestamp % timeframe_ms(frame) <> 0 then
        raise exception 'timestamp must be the open time of a % bar in epoch milliseconds, got %', frame, new.timestamp
            using errcode = 'check_violation';
    end if;
    insert into series (exchange, symbol, timeframe) values (new.exchange, new.symbol, frame)
        on conflict (exchange, symbol, timeframe) do nothing;
    select id into series_number from series
        where exchange = new.exchange and symbol = new.symbol and timeframe = frame;
    -- Once per transaction: the row lock also keeps other writers of the series out until the commit.
    update series set revision = revision + 1
        where id = series_number and (revision = 0 or xmin <> pg_current_xact_id()::xid);
    insert into candle values
        (series_number, new.timestamp, new.open, new.high, new.low, new.close, new.volume);
    return new;
end $$;

create trigger insert_row instead of insert on market_data_enhanced
    for each row execute function insert_market_data();
create trigger insert_row instead of insert on market_data
    for each row execute function insert_market_data();
