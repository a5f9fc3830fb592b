"""A real Prometheus scrapes a server, and is asked what the rows of Tarantool's dashboard ask that
docs/metrics.md says are drawn; and what those ask that it says are absent.

Usage: dashboard.py PROMETHEUS ADDRESS DIRECTORY
"""

import json
import pathlib
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

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


def free_port():
    with socket.socket() as own:
        own.bind(("127.0.0.1", 0))
        return own.getsockname()[1]


def config(address):
    return json.dumps(
        {
            "global": {"scrape_interval": "500ms", "scrape_timeout": "500ms"},
            "scrape_configs": [
                {"job_name": "tarantool", "static_configs": [{"targets": [address]}]}
            ],
        }
    )


def ask(port, expression):
    query = urllib.parse.urlencode({"query": expression})
    url = f"http://127.0.0.1:{port}/api/v1/query?{query}"
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)["data"]["result"]


def is_number(row):
    return row["value"][1] != "NaN"


def wait_for_samples(port, deadline):
    while time.monotonic() < deadline:
        try:
            rows = ask(port, 'count_over_time(up{job="tarantool"}[1m]) >= 12')
            if rows:
                return
        except (urllib.error.URLError, OSError):
            pass
        time.sleep(0.2)
    sys.exit("Prometheus has not scraped in time")


def main():
    prometheus, address, directory = sys.argv[1:]
    directory = pathlib.Path(directory)
    file = directory / "prometheus.yml"
    file.write_text(config(address))
    port = free_port()
    server = subprocess.Popen(
        [
            prometheus,
            f"--config.file={file}",
            f"--storage.tsdb.path={directory / 'tsdb'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--log.level=error",
        ]
    )
    try:
        wait_for_samples(port, time.monotonic() + 60)
        assert ask(port, "up") and ask(port, "min_over_time(up[1m]) == 1"), "a scrape failed"
        missing = [own for own in CLAIMED if not any(map(is_number, ask(port, own)))]
        there = [own for own in ABSENT if ask(port, f"{own}{{{OF}}}")]
        assert not missing, f"claimed, and without data: {missing}"
        assert not there, f"said to be absent, and there: {there}"
        print(f"{len(CLAIMED)} expressions have data, {len(ABSENT)} have none")
    finally:
        server.terminate()
        server.wait(10)


main()
