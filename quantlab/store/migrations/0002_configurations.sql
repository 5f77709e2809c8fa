-- trained_configurations: the contract with the execution bot. 70 columns; what was not measured is NULL.

create table trained_configurations (
    -- identity
    id uuid primary key,
    -- context
    strategy_name text not null check (strategy_name <> ''),
    exchange text not null check (exchange <> ''),
    pair text not null check (pair <> ''),
    timeframe text not null check (timeframe in ('1m', '5m', '15m', '1h', '4h', '1d')),
    regime text not null default 'all' check (regime in ('bull', 'bear', 'sideways', 'volatile', 'all')),
    -- lifecycle: the stage and the activation are independent
    status text not null check (status in ('DISCOVERY', 'VALIDATION', 'MATURE', 'DECAY', 'PAPER')),
    is_active boolean not null default false,
    -- parameters
    parameters_json jsonb not null check (jsonb_typeof(parameters_json) = 'object'),
    -- performance (fractions, never percent)
    gross_win_rate float8 check (gross_win_rate between 0 and 1),
    avg_win float8,
    avg_loss float8,
    net_profit float8,
    sample_size int check (sample_size >= 0),
    -- costs
    exchange_fees float8,
    est_slippage float8,
    actual_slippage float8,
    -- statistical validation
    sharpe_ratio float8,
    calmar_ratio float8,
    sortino_ratio float8,
    p_value float8 check (p_value between 0 and 1),
    z_score float8,
    monte_carlo_var float8,
    stability_score float8,
    drawdown_duration float8,
    trade_clustering float8,
    rolling_30d_sharpe float8,
    lifetime_sharpe_ratio float8,
    -- execution, measured live
    fill_rate float8,
    partial_fill_rate float8,
    time_to_fill_ms float8,
    slippage_vs_mid_bps float8,
    adverse_selection_score float8,
    post_trade_drift_1m float8,
    post_trade_drift_5m float8,
    rejection_rate float8,
    -- regime, alternative data, adversarial
    regime_classification jsonb,
    alternative_data_signals jsonb,
    adversarial_score float8,
    trap_probability float8,
    smart_money_alignment float8,
    -- risk allocation
    kelly_fraction float8,
    correlation_adjusted_weight float8,
    regime_adjusted_size float8,
    max_position_size float8,
    current_allocation float8,
    var_95 float8,
    cvar_95 float8,
    -- microstructure
    avg_spread_bps float8,
    book_depth_ratio float8,
    book_imbalance float8,
    tick_size_impact float8,
    maker_rebate float8,
    taker_fee float8,
    level2_depth_score float8,
    microstructure_noise float8,
    -- pattern health
    months_since_discovery float8,
    performance_degradation float8,
    degradation_velocity float8,
    death_signals jsonb,
    death_signal_count int check (death_signal_count >= 0),
    resurrection_score float8,
    -- metadata
    model_version text,
    discovery_date timestamptz,
    engine_hash text check (engine_hash ~ '^[0-9a-f]{64}$'),
    runtime_env text,
    -- timestamps
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    last_activated_at timestamptz,
    last_deactivated_at timestamptz
);
comment on column trained_configurations.drawdown_duration is 'Days.';

-- The ten indexes of the contract, beside the primary key.
create index trained_configurations_strategy_name on trained_configurations (strategy_name);
create index trained_configurations_exchange on trained_configurations (exchange);
create index trained_configurations_pair on trained_configurations (pair);
create index trained_configurations_status on trained_configurations (status);
create index trained_configurations_is_active on trained_configurations (is_active) where is_active;
create index trained_configurations_market on trained_configurations (exchange, pair, timeframe);
create index trained_configurations_performance on trained_configurations (net_profit desc, sharpe_ratio desc);
create index trained_configurations_health on trained_configurations (status, months_since_discovery);
create index trained_configurations_parameters on trained_configurations using gin (parameters_json);
create index trained_configurations_death_signals on trained_configurations using gin (death_signals);

create table stage_transition (
    number bigint generated always as identity primary key,
    configuration_id uuid not null references trained_configurations,
    from_stage text,
    to_stage text not null,
    reason text not null check (reason <> ''),
    at timestamptz not null default now(),
    constraint stage_transition_allowed check (
        case when from_stage is null then to_stage <> 'DECAY'
        else from_stage || ' ' || to_stage in (
            'DISCOVERY VALIDATION', 'VALIDATION MATURE', 'MATURE DECAY', 'DECAY PAPER',
            'DISCOVERY PAPER', 'VALIDATION PAPER', 'MATURE PAPER', 'PAPER DISCOVERY'
        ) end
    )
);
create index stage_transition_configuration on stage_transition (configuration_id);
comment on table stage_transition is 'Every stage a configuration ever had; written by trigger, whoever changes the status.';

create trigger history_is_kept before update or delete or truncate on stage_transition
    for each statement execute function refuse_change('a later step adds a row');

create function record_stage() returns trigger language plpgsql as $$
declare
    was text := case when tg_op = 'UPDATE' then old.status end;
begin
    insert into stage_transition (configuration_id, from_stage, to_stage, reason) values
        (new.id, was, new.status, coalesce(nullif(current_setting('quantlab.reason', true), ''), 'measured'));
    return null;
exception when check_violation then
    raise exception 'a configuration cannot pass from % to %: the steps are DISCOVERY -> VALIDATION -> MATURE -> DECAY'
        ' -> PAPER, any -> PAPER, PAPER -> DISCOVERY', coalesce(was, 'nothing'), new.status;
end $$;

create trigger record_first_stage after insert on trained_configurations
    for each row execute function record_stage();
create trigger record_stage after update of status on trained_configurations
    for each row when (old.status <> new.status) execute function record_stage();
