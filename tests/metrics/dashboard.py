"""A real Prometheus scrapes a server, and is asked what the rows of Tarantool's dashboard ask that
docs/metrics.md says are drawn; and what those ask that it says are absent.

Usage: dashboard.py PROMETHEUS ADDRESS DIRECTORY
"""

import sys

import prometheus

OF = 'job=~"tarantool",alias=~"orders-1"'

GAUGES = """
tnt_info_uptime tnt_read_only tnt_schema_needs_upgrade tnt_config_alerts tnt_config_status
tnt_slab_arena_used tnt_slab_items_used tnt_info_memory_net
tnt_net_connections_current tnt_net_requests_current tnt_net_requests_in_progress_current
tnt_net_per_thread_connections_current tnt_net_per_thread_requests_in_progress_current
tnt_space_len tnt_space_bsize tnt_space_index_bsize tnt_space_total_bsize
tnt_memory tnt_memory_virt tnt_ev_loop_time tnt_info_memory_data tnt_info_memory_index
""".split()

COUNTERS = """
tnt_net_received_total tnt_net_sent_total tnt_net_connections_total tnt_net_requests_total
tnt_net_requests_in_progress_total tnt_net_per_thread_received_total
tnt_net_per_thread_sent_total tnt_net_per_thread_requests_total
""".split()

OPERATIONS = """
select insert replace upsert update delete call eval error auth prepare execute begin commit
rollback
""".split()

ABSENT = """
tnt_election_state tnt_election_term tnt_replication_status tnt_replication_lag
tnt_synchro_queue_len tnt_memtx_tnx_statements tnt_memtx_mvcc_trackers tnt_fiber_amount
tnt_info_memory_lua tnt_vinyl_disk_data_size tnt_net_requests_in_stream_queue_total
tnt_slab_quota_size
""".split()

CLAIMED = (
    [f"{name}{{{OF}}}" for name in GAUGES]
    + [f"rate({name}{{{OF}}}[5s])" for name in COUNTERS]
    + [f'rate(tnt_stats_op_total{{{OF},operation="{own}"}}[5s])' for own in OPERATIONS]
    + [
        f"sum(tnt_slab_arena_used{{{OF}}})",
        f"sum(rate(tnt_net_requests_total{{{OF}}}[5s]))",
        f"sum(rate(tnt_stats_op_total{{{OF}}}[5s]))",
        f"rate(tnt_cpu_user_time{{{OF}}}[5s])",
        f"rate(tnt_cpu_system_time{{{OF}}}[5s])",
        # The panel adds all six states up.
        f"sum by (alias) (tnt_config_status{{{OF}}}) == 1",
        f'tnt_config_status{{{OF},status="ready"}} == 1',
        f'tnt_space_len{{{OF},engine="memtx"}}',
        # Ours, as docs/metrics.md has them.
        "rate(vestibule_tx_busy_seconds_total[5s])",
        "sum by (path) (rate(vestibule_requests_total[5s]))",
        "histogram_quantile(0.99, sum by (le)"
        ' (rate(vestibule_request_duration_seconds_bucket{path="tx"}[5s])))',
        'rate(vestibule_state_seconds_total{state="solo"}[5s])',
    ]
)


def main():
    program, address, directory = sys.argv[1:]
    with prometheus.scraping(program, "tarantool", address, directory) as own:
        missing = [one for one in CLAIMED if not own.has_data(one)]
        there = [one for one in ABSENT if own.ask(f"{one}{{{OF}}}")]
        assert not missing, f"claimed, and without data: {missing}"
        assert not there, f"said to be absent, and there: {there}"
        print(f"{len(CLAIMED)} expressions have data, {len(ABSENT)} have none")


main()
