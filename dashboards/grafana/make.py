#!/usr/bin/env python3
"""Writes surge.json, edge.json, origin.json and likes.json beside itself; with --check says whether they are what it would write.

A dashboard is a list of rows; panels of a row stand side by side in 24 columns, equally wide but where one says
otherwise.
"""

import json
import pathlib
import sys

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
EDGE = 'edge=~"$edge"'
CLIENT = 'client=~"$edge"'
RATE = "[$__rate_interval]"
GREEN, YELLOW, RED, BLUE = "green", "orange", "red", "blue"


def rate(metric, labels="", by=""):
    by = f" by ({by}) " if by else ""
    return f"sum{by}(rate({metric}{{{labels}}}{RATE}))"


def p99(metric, labels, by=""):
    by = f", {by}" if by else ""
    return f"histogram_quantile(0.99, sum by (le{by}) (rate({metric}_bucket{{{labels}}}{RATE})))"


def steps(*pairs):
    """Thresholds: the first colour, then (from, colour)."""
    first, *rest = pairs
    return {
        "mode": "absolute",
        "steps": [{"color": first, "value": None}] + [{"color": color, "value": value} for value, color in rest],
    }


def panel(kind, title, unit, description, targets, thresholds, custom=None, overrides=(), **defaults):
    if custom:
        defaults["custom"] = custom
    return {
        "type": kind,
        "title": title,
        "description": description,
        "datasource": DATASOURCE,
        "fieldConfig": {
            "defaults": {"unit": unit, "thresholds": thresholds, **defaults},
            "overrides": list(overrides),
        },
        "targets": [
            {
                "datasource": DATASOURCE,
                "editorMode": "code",
                "expr": expr,
                "legendFormat": legend,
                "range": True,
                "refId": chr(ord("A") + index),
            }
            for index, (legend, expr) in enumerate(targets)
        ],
    }


def stat(title, unit, description, expr, *thresholds, decimals=None):
    made = panel(
        "stat", title, unit, description, [(title, expr)], steps(*(thresholds or (BLUE,))),
        color={"mode": "thresholds"}, **({} if decimals is None else {"decimals": decimals}),
    )
    made["options"] = {
        "colorMode": "value",
        "graphMode": "area",
        "justifyMode": "auto",
        "orientation": "auto",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "textMode": "value",
    }
    return made


def series(title, unit, description, *targets, log=False, stack=False, dashed=(), least=0):
    custom = {
        "axisPlacement": "auto",
        "drawStyle": "line",
        "fillOpacity": 60 if stack else 8,
        "lineInterpolation": "linear",
        "lineWidth": 1 if stack else 2,
        "scaleDistribution": {"type": "log", "log": 10} if log else {"type": "linear"},
        "showPoints": "never",
        "spanNulls": False,
        "stacking": {"group": "A", "mode": "normal" if stack else "none"},
    }
    overrides = [
        {
            "matcher": {"id": "byName", "options": name},
            "properties": [
                {"id": "custom.lineStyle", "value": {"dash": [8, 8], "fill": "dash"}},
                {"id": "custom.fillOpacity", "value": 0},
            ],
        }
        for name in dashed
    ]
    # A logarithmic axis has no 0.
    bounds = {} if log or least is None else {"min": least}
    made = panel(
        "timeseries", title, unit, description, targets, steps(GREEN), custom, overrides,
        color={"mode": "palette-classic"}, **bounds,
    )
    made["options"] = {
        "legend": {"calcs": ["lastNotNull", "max"], "displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    return made


def row(title):
    return {"type": "row", "title": title, "collapsed": False, "panels": []}


def query_variable(name, label, query, description):
    return {
        "name": name,
        "label": label,
        "description": description,
        "type": "query",
        "datasource": DATASOURCE,
        "definition": query,
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "includeAll": True,
        "multi": True,
        "allValue": ".*",
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
        "sort": 1,
        "hide": 0,
        "options": [],
        "regex": "",
    }


def dashboard(name, title, description, rows, variables):
    panels, top, ids = [], 0, 0
    for height, across in rows:
        left = 0
        for made in across:
            ids += 1
            width = made.pop("width", 24 // len(across))
            made = {"id": ids, **made, "gridPos": {"x": left, "y": top, "w": width, "h": height}}
            panels.append(made)
            left += width
        top += height
    datasource = {
        "name": "datasource",
        "label": "Prometheus",
        "type": "datasource",
        "query": "prometheus",
        "refresh": 1,
        "current": {},
        "hide": 0,
        "includeAll": False,
        "multi": False,
        "options": [],
        "regex": "",
    }
    return {
        "uid": f"seawall-{name}",
        "title": f"Seawall: {title}",
        "description": description,
        "tags": ["seawall"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "5s",
        "time": {"from": "now-5m", "to": "now"},
        "timezone": "browser",
        "timepicker": {"refresh_intervals": ["1s", "5s", "10s", "30s", "1m"]},
        "annotations": {
            "list": [
                {
                    "name": "Phases and faults",
                    "datasource": DATASOURCE,
                    "enable": True,
                    "hide": False,
                    "iconColor": "purple",
                    "expr": "(seawall_event_timestamp_seconds > 0) * 1000",
                    "step": "1s",
                    "titleFormat": "{{event}}",
                    "useValueForTime": "on",
                }
            ]
        },
        "links": [
            {
                "title": "Seawall",
                "type": "dashboards",
                "tags": ["seawall"],
                "asDropdown": False,
                "icon": "external link",
                "includeVars": True,
                "keepTime": True,
                "targetBlank": False,
            }
        ],
        "templating": {"list": [datasource, *variables]},
        "panels": panels,
    }


EDGES = query_variable(
    "edge", "Edge", "label_values(seawall_edge_connections, edge)", "The edges and shields to look at."
)


def collapsing():
    return [
        series(
            "Waiters", "short", "Requests that wait for the fetch of another, now and at most within half a minute.",
            ("now, {{edge}}", f"sum by (edge) (seawall_edge_miss_waiters{{{EDGE}}})"),
            ("peak, {{edge}}", f"sum by (edge) (seawall_edge_miss_waiters_peak{{{EDGE}}})"),
        ),
        series(
            "Followers per fetch", "short",
            "How many requests one fetch served beside the one that caused it, on average; the more, the more the queue of "
            "misses kept off the origin.",
            ("{{kind}}", f'sum by (kind) (rate(seawall_edge_waiters_per_fetch_sum{{{EDGE}}}{RATE})) '
             f'/ (sum by (kind) (rate(seawall_edge_waiters_per_fetch_count{{{EDGE}}}{RATE})) > 0)'),
        ),
        series(
            "Waits per second, by their end", "ops",
            "Requests that waited for a fetch: those in vain met a failure, ran into the deadline, or left.",
            ("{{outcome}}", rate("seawall_edge_miss_wait_seconds_count", EDGE, "outcome")), stack=True,
        ),
        series(
            "Wake-up lag, p99", "s",
            "From the arrival of what a request waited for until its task ran: what the edge itself adds to a wait.",
            ("{{edge}}", p99("seawall_edge_wakeup_lag_seconds", EDGE, "edge")),
        ),
    ]


def behind():
    return series(
        "Segments behind the broadcaster", "short", "How many segments the newest playlist of an edge is behind what was "
        "published. Grows where nobody watches.",
        ("{{edge}} {{stream}} {{rendition}}",
         "clamp_min(max by (stream, rendition) (seawall_broadcaster_media_sequence) - on (stream, rendition) "
         f"group_right () max by (edge, stream, rendition) (seawall_edge_playlist_media_sequence{{{EDGE}}}), 0)"),
    )


def ages():
    return series(
        "Age of playlists", "s", "Since a playlist of the edge last brought something new; a segment's time while somebody "
        "watches. Grows where nobody does.",
        ("{{edge}} {{stream}} {{rendition}}",
         f"time() - max by (edge, stream, rendition) (seawall_edge_playlist_updated_timestamp_seconds{{{EDGE}}})"),
    )


def run_time(selector):
    return [
        series(
            "Processor", "percentunit", "Processor seconds per second of each process; 1 is one core. Components of one "
            "process show the same.",
            ("{{name}}", f"rate(process_cpu_seconds_total{{{selector}}}{RATE})"),
        ),
        series(
            "Workers, busy", "percentunit", "Share of time that the threads which run tasks were busy; near 1 everything "
            "waits.",
            ("{{name}}", f"rate(seawall_runtime_busy_seconds_total{{{selector}}}{RATE}) / seawall_runtime_workers{{{selector}}}"),
        ),
        series(
            "Memory", "bytes", "Resident memory of each process.",
            ("{{name}}", f"process_resident_memory_bytes{{{selector}}}"),
        ),
        series(
            "Tasks", "short", "Tasks that are alive, and those that wait for a thread.",
            ("alive, {{name}}", f"seawall_runtime_alive_tasks{{{selector}}}"),
            ("waiting, {{name}}", f"seawall_runtime_queue_depth{{{selector}}}"),
        ),
    ]


def surge():
    requests = rate("seawall_edge_requests_total", f"{EDGE},component!=\"shield\"")
    hits = rate("seawall_origin_hits_total", CLIENT)
    segment_hits = rate("seawall_origin_hits_total", f'{CLIENT},kind="segment"')
    return [
        (4, [
            stat("Viewers", "short", "Simulated viewers that are there; 0 while no surge is played with --metrics.",
                 "sum(seawall_viewers) or vector(0)"),
            stat("Edge requests/s", "reqps", "What viewers ask of the chosen edges.", requests, decimals=0),
            stat("Origin requests/s", "reqps", "What of it reaches the origin.", hits, decimals=1),
            stat("Offload", "percentunit", "Share of viewers' requests that the origin did not see. Low with few viewers, "
                 "because each edge asks for each segment once.",
                 f"1 - {hits} / ({requests} > 0)", RED, (0.8, YELLOW), (0.9, GREEN), decimals=2),
            stat("Amplification", "none", "Requests that all edges sent upstream per fetch that was needed: what duplicates, "
                 "retries and resumes add. 1 if nothing does.",
                 "seawall:amplification:ratio10s", GREEN, (1.1, YELLOW), (1.5, RED), decimals=2),
            stat("Waiters now", "short", "Requests that wait for a fetch.",
                 f"sum(seawall_edge_miss_waiters{{{EDGE}}})", GREEN, (5000, YELLOW), (20000, RED)),
            stat("p99", "s", "Time to the answer's head that one in a hundred requests exceeds.",
                 p99("seawall_edge_request_duration_seconds", EDGE), GREEN, (0.5, YELLOW), (2, RED)),
            stat("Stalled viewers", "percentunit", "Share of viewers whose player stands still; 0 while none are there.",
                 "seawall:viewers_stalled:ratio or vector(0)", GREEN, (0.01, YELLOW), (0.05, RED), decimals=1),
        ]),
        (10, [
            {**series("The surge", "short", "Viewers, what they ask of the edges, and what reaches the origin, per second. "
                      "The dashed line is the floor: each published segment, once per cache that follows its rendition.",
                      ("viewers", "sum(seawall_viewers)"),
                      ("edge requests/s", requests),
                      ("origin requests/s", hits),
                      ("origin segment requests/s", segment_hits),
                      ("floor of segments/s", "seawall:origin_segment_floor:rate10s"),
                      log=True, dashed=["floor of segments/s"]), "width": 20},
            {**stat("Excess", "none", "Segments that the origin was asked for over the fewest that it can be asked for, the "
                 "theoretical floor; over the last minute, all edges. 1 through a surge of any size, if misses are queued; "
                 "cold caches begin a little above it.",
                 "seawall:origin_excess:ratio1m", GREEN, (1.5, YELLOW), (2, RED), decimals=2), "width": 4},
        ]),
        (1, [row("Collapsing: many ask, one fetches")]),
        (8, collapsing()),
        (1, [row("Protection of the origin")]),
        (8, [
            series("Origin requests/s, by kind", "reqps", "What the origin counts of the chosen edges.",
                   ("{{kind}}", rate("seawall_origin_hits_total", CLIENT, "kind")), stack=True),
            series("Origin fetches/s, by reason", "reqps", "Why the chosen edges ask: a miss, ahead of the viewers "
                   "(prefetch), to refresh, again (retry, resume, hold).",
                   ("{{reason}}", rate("seawall_edge_origin_fetches_total", EDGE, "reason")), stack=True),
            series("Queue and breaker", "short", "Fetches that wait for a permit to ask the origin, and the circuit breaker: "
                   "0 closed, 1 probing, 2 open.",
                   ("queued, {{class}}", f"sum by (class) (seawall_edge_origin_queue_depth{{{EDGE}}})"),
                   ("breaker", f"max(seawall_edge_breaker_state{{{EDGE}}})")),
            series("Duplicates and shed/s", "ops", "Fetches begun while another for the same object was under way (must be "
                   "0 with the miss queue on), and requests answered 503 because a bound was reached.",
                   ("duplicates", rate("seawall_edge_duplicate_origin_fetches_total", EDGE)),
                   ("shed", rate("seawall_edge_shed_total", EDGE))),
        ]),
        (1, [row("Health of the live edge")]),
        (8, [
            behind(),
            ages(),
            series("Time to the answer's head, p99", "s", "What a viewer waits for, by how the request was served.",
                   ("{{path}}", p99("seawall_edge_request_duration_seconds", EDGE, "path"))),
            series("Publishing lateness, p99", "s", "How long after its due time a segment was published.",
                   ("broadcaster", p99("seawall_broadcaster_publish_lateness_seconds", ""))),
        ]),
        (1, [row("Cache")]),
        (8, [
            series("Results/s", "reqps", "Viewers' requests by result.",
                   ("{{result}}", rate("seawall_edge_requests_total", EDGE, "result")), stack=True),
            series("Hit ratios", "percentunit", "Answered from the cache at once, and bytes that did not come from the "
                   "origin; all edges.",
                   ("requests", "seawall:request_hit:ratio10s"), ("bytes", "seawall:byte_hit:ratio10s")),
            series("Bytes in caches", "bytes", "What the caches hold and may hold.",
                   ("{{edge}}", f"seawall_edge_cache_bytes{{{EDGE}}}"),
                   ("capacity", f"max(seawall_edge_cache_capacity_bytes{{{EDGE}}})"), dashed=["capacity"]),
        ]),
        (1, [row("Audience, while a surge is played with --metrics")]),
        (8, [
            series("Viewers, by state", "short", "What players show.",
                   ("{{state}}", "sum by (state) (seawall_viewers)"), stack=True),
            series("Joins, stalls, failures/s", "ops", "Viewers that come, whose player stands still, or gives up.",
                   ("joins", rate("seawall_viewer_joins_total")), ("stalls", rate("seawall_viewer_stalls_total")),
                   ("failures", rate("seawall_viewer_failures_total"))),
            series("Startup and latency", "s", "From arrival to the first frame, and from live to the playhead; half of "
                   "the viewers have less.",
                   ("startup, p50", f"histogram_quantile(0.5, sum by (le) (rate(seawall_viewer_startup_seconds_bucket{RATE})))"),
                   ("behind live, p50",
                    f"histogram_quantile(0.5, sum by (le) (rate(seawall_viewer_live_latency_seconds_bucket{RATE})))")),
            series("Time spent rebuffering", "percentunit", "Seconds that players stood still per second that a viewer was "
                   "there.",
                   ("rebuffering", f"sum(rate(seawall_viewer_rebuffer_seconds_total{RATE})) / (sum(seawall_viewers) > 0)")),
        ]),
        (1, [row("Run time")]),
        (8, run_time('job=~"seawall.*"')),
    ]


def edge():
    requests = rate("seawall_edge_requests_total", EDGE)
    return [
        (4, [
            stat("Requests/s", "reqps", "What is asked of the chosen edges.", requests, decimals=0),
            stat("Hit ratio", "percentunit", "Answered from the cache at once.",
                 rate("seawall_edge_requests_total", f'{EDGE},result=~"hit|stale|negative"') + f" / ({requests} > 0)",
                 RED, (0.5, YELLOW), (0.9, GREEN), decimals=1),
            stat("p99", "s", "Time to the answer's head that one in a hundred requests exceeds.",
                 p99("seawall_edge_request_duration_seconds", EDGE), GREEN, (0.5, YELLOW), (2, RED)),
            stat("Errors", "percentunit", "Share of answers that are 5xx.",
                 rate("seawall_edge_responses_total", f'{EDGE},code="5xx"')
                 + f" / ({rate('seawall_edge_responses_total', EDGE)} > 0)", GREEN, (0.001, YELLOW), (0.01, RED), decimals=2),
            stat("Connections", "short", "Open connections of viewers.",
                 f"sum(seawall_edge_connections{{{EDGE}}})"),
            stat("Waiters now", "short", "Requests that wait for a fetch.",
                 f"sum(seawall_edge_miss_waiters{{{EDGE}}})", GREEN, (5000, YELLOW), (20000, RED)),
            stat("Duplicates", "short", "Fetches begun while another for the same object was under way, ever; must stay 0 "
                 "with the miss queue on.",
                 f"sum(seawall_edge_duplicate_origin_fetches_total{{{EDGE}}})", GREEN, (1, RED)),
            stat("Breaker", "short", "The circuit breaker towards the origin: 0 closed, 1 probing, 2 open.",
                 f"max(seawall_edge_breaker_state{{{EDGE}}})", GREEN, (1, YELLOW), (2, RED)),
        ]),
        (1, [row("What viewers ask and get")]),
        (8, [
            series("Requests/s, by edge", "reqps", "What each edge is asked.",
                   ("{{edge}}", rate("seawall_edge_requests_total", EDGE, "edge"))),
            series("Results", "reqps", "Requests per second by result.",
                   ("{{result}}", rate("seawall_edge_requests_total", EDGE, "result")), stack=True),
            series("Answers/s, by status", "reqps", "By class of status code.",
                   ("{{code}}", rate("seawall_edge_responses_total", EDGE, "code")), stack=True),
            series("Bytes/s", "Bps", "To viewers by kind, and from the origin.",
                   ("{{kind}}", rate("seawall_edge_response_bytes_total", EDGE, "kind")),
                   ("from the origin", rate("seawall_edge_origin_bytes_total", EDGE)), dashed=["from the origin"]),
        ]),
        (8, [
            series("Time to the answer's head, p99, by path", "s", "From the cache, after the wait for another's fetch, or "
                   "fetched.",
                   ("{{path}}", p99("seawall_edge_request_duration_seconds", EDGE, "path"))),
            series("In flight, by kind", "short", "Requests whose answer's head is not made yet, and those that wait for a "
                   "playlist still to come.",
                   ("{{kind}}", f"sum by (kind) (seawall_edge_requests_inflight{{{EDGE}}})"),
                   ("blocked", f"sum(seawall_edge_blocked_requests{{{EDGE}}})")),
            series("Connections", "short", "Open connections of viewers.",
                   ("{{edge}}", f"sum by (edge) (seawall_edge_connections{{{EDGE}}})")),
            series("Accepted and refused/s", "ops", "Connections accepted, and refused because the edge was full.",
                   ("accepted", rate("seawall_edge_connections_accepted_total", EDGE)),
                   ("refused", rate("seawall_edge_connections_refused_total", EDGE))),
        ]),
        (1, [row("Queue of misses")]),
        (8, collapsing()),
        (8, [
            series("Flights", "short", "Fetches under way, those at the origin now, and those that wait for a segment "
                   "which is about to be published.",
                   ("flights", f"sum(seawall_edge_flights{{{EDGE}}})"),
                   ("at the origin", f"sum(seawall_edge_origin_fetches_inflight{{{EDGE}}})"),
                   ("held", f"sum(seawall_edge_held_fetches{{{EDGE}}})")),
            series("Retries, resumes, cancelled/s", "ops", "Fetches that began anew, went on where a body broke off, or "
                   "were given up.",
                   ("retries", rate("seawall_edge_flight_retries_total", EDGE)),
                   ("resumes", rate("seawall_edge_flight_resumes_total", EDGE)),
                   ("cancelled: {{why}}", rate("seawall_edge_flights_cancelled_total", EDGE, "why"))),
            series("Shed, by bound", "ops", "Requests answered 503 per second, by the bound that was reached.",
                   ("{{reason}}", rate("seawall_edge_shed_total", EDGE, "reason")), stack=True),
        ]),
        (1, [row("Towards the origin")]),
        (8, [
            series("Origin fetches, by outcome", "reqps", "Requests sent upstream per second, by how they ended.",
                   ("{{outcome}}", rate("seawall_edge_origin_fetches_total", EDGE, "outcome")), stack=True),
            series("Origin fetches, by reason", "reqps", "Requests sent upstream per second, by why.",
                   ("{{reason}}", rate("seawall_edge_origin_fetches_total", EDGE, "reason")), stack=True),
            series("Fetch time, p99", "s", "From a request to the origin to the last byte of its answer.",
                   ("{{kind}}", p99("seawall_edge_origin_fetch_seconds", EDGE, "kind"))),
            series("Queue at the origin", "short", "Fetches that wait for a place, by class, and servers that do not answer.",
                   ("{{class}}", f"sum by (class) (seawall_edge_origin_queue_depth{{{EDGE}}})"),
                   ("servers down", f"sum(seawall_edge_upstreams_down{{{EDGE}}})")),
        ]),
        (1, [row("Cache and playlists")]),
        (8, [
            series("Bytes in the cache", "bytes", "What the caches hold and may hold.",
                   ("{{edge}}", f"seawall_edge_cache_bytes{{{EDGE}}}"),
                   ("capacity", f"max(seawall_edge_cache_capacity_bytes{{{EDGE}}})"), dashed=["capacity"]),
            series("Objects", "short", "Objects in the caches.", ("{{edge}}", f"seawall_edge_cache_entries{{{EDGE}}}")),
            series("Evictions, stale answers/s", "ops", "Objects let go by cause, and stale answers by why they were allowed.",
                   ("let go: {{cause}}", rate("seawall_edge_evictions_total", EDGE, "cause")),
                   ("stale: {{why}}", rate("seawall_edge_stale_served_total", EDGE, "why"))),
            ages(),
        ]),
        (8, [
            behind(),
            series("Fetched ahead, used/s", "ops", "Segments fetched before anybody asked, and how many of them somebody "
                   "asked for.",
                   ("fetched ahead", rate("seawall_edge_origin_fetches_total", f'{EDGE},reason="prefetch"')),
                   ("used", rate("seawall_edge_prefetched_used_total", EDGE))),
            series("Corrections/s", "ops", "Old playlists that were not served, failures forgotten because a playlist lists "
                   "the segment, and lines that the access log lost.",
                   ("regressions blocked", rate("seawall_edge_playlist_regressions_blocked_total", EDGE)),
                   ("failures forgotten", rate("seawall_edge_negatives_purged_total", EDGE)),
                   ("log lines lost", rate("seawall_edge_access_log_dropped_total", EDGE))),
        ]),
        (1, [row("Run time")]),
        (8, run_time('component=~"edge|shield",name=~"$edge"')),
    ]


def origin():
    hits = rate("seawall_origin_hits_total")
    return [
        (4, [
            stat("Requests/s", "reqps", "All that reaches the origin.", hits, decimals=1),
            stat("Segments asked/s", "reqps", "Requests for segments.",
                 rate("seawall_origin_hits_total", 'kind="segment"'), decimals=1),
            stat("Floor of segments/s", "reqps", "The fewest that it can be asked for: each published segment, once per "
                 "cache that follows its rendition.", "seawall:origin_segment_floor:rate10s", decimals=1),
            stat("Excess", "none", "The one over the other, over a minute.", "seawall:origin_excess:ratio1m",
                 GREEN, (1.5, YELLOW), (2, RED), decimals=2),
            stat("In flight", "short", "Requests that the origin is answering.", "sum(seawall_origin_inflight)",
                 GREEN, (100, YELLOW), (500, RED)),
            stat("p99", "s", "From a request to its whole answer.",
                 p99("seawall_origin_request_duration_seconds", ""), GREEN, (0.5, YELLOW), (2, RED)),
            stat("Uploads refused/s", "ops", "What broadcasters sent and the origin refused.",
                 rate("seawall_origin_rejected_total"), GREEN, (0.01, RED), decimals=2),
            stat("Late, p99", "s", "How long after its due time a segment was published.",
                 p99("seawall_broadcaster_publish_lateness_seconds", ""), GREEN, (0.5, YELLOW), (2, RED)),
        ]),
        (1, [row("Who asks for what")]),
        (8, [
            series("Requests/s, by client", "reqps", "By the cache that asks; `direct` names none.",
                   ("{{client}}", rate("seawall_origin_hits_total", "", "client")), stack=True),
            series("Requests/s, by kind", "reqps", "By kind of object.",
                   ("{{kind}}", rate("seawall_origin_hits_total", "", "kind")), stack=True),
            series("Segments asked, and the floor", "reqps", "Requests of caches for segments beside the fewest that there "
                   "can be.",
                   ("asked", "seawall:origin_segment_hits:rate10s"), ("floor", "seawall:origin_segment_floor:rate10s"),
                   dashed=["floor"]),
            series("Caches that follow", "short", "Caches that ask the origin and follow a rendition.",
                   ("{{stream}} {{rendition}}", "seawall:caches_following:count")),
        ]),
        (8, [
            series("Answering time, p99", "s", "From a request to its whole answer, what it was told to wait included.",
                   ("{{kind}}", p99("seawall_origin_request_duration_seconds", "", "kind"))),
            series("Answering", "short", "Requests that the origin is answering.",
                   ("in flight", "sum(seawall_origin_inflight)")),
            series("Bytes/s", "Bps", "Body bytes that answers announced, by kind.",
                   ("{{kind}}", rate("seawall_origin_response_bytes_total", "", "kind")), stack=True),
        ]),
        (1, [row("Broadcaster")]),
        (8, [
            series("Segments published/s", "ops", "By stream and rendition.",
                   ("{{stream}} {{rendition}}", rate("seawall_broadcaster_segments_published_total", "", "stream, rendition"))),
            series("Published and not listed", "short", "Segments of a stream that the broadcaster has handed over and the "
                   "origin does not list yet; those of the lowest rendition may come before the others'.",
                   ("{{stream}}", "max by (stream) (seawall_broadcaster_media_sequence) - on (stream) label_replace("
                    'seawall_origin_media_sequence, "stream", "$1", "channel", "(.+)")'), least=None),
            series("Lateness, p99", "s", "How long after its due time a segment was published.",
                   ("lateness", p99("seawall_broadcaster_publish_lateness_seconds", ""))),
            series("Failed and refused/s", "ops", "Attempts to publish that failed, and uploads that were refused, by why.",
                   ("failed", rate("seawall_broadcaster_publish_failures_total")),
                   ("refused: {{reason}}", rate("seawall_origin_rejected_total", "", "reason"))),
        ]),
        (1, [row("Run time")]),
        (8, run_time('component="origin"')),
    ]


def likes():
    answered = rate("seawall_likes_accepted_total")
    counted = rate("seawall_likes_accepted_total", 'result=~"counted|duplicate"')
    batches = "seawall_likes_batch_size"
    return [
        (4, [
            stat("Counted/s", "ops", "Likes, unlikes and hearts that were acknowledged, duplicates included.", counted,
                 decimals=0),
            stat("Refused", "percentunit", "Share of them that was not: invalid, over a rate, shed, of a closed channel, or "
                 "without a known outcome.",
                 f"1 - {counted} / ({answered} > 0) or vector(0)", GREEN, (0.01, YELLOW), (0.1, RED), decimals=1),
            stat("Waiting", "short", "Operations that wait to be made durable.", "sum(seawall_likes_queue_depth)",
                 GREEN, (2048, YELLOW), (4096, RED)),
            stat("Batch", "short", "Operations that are made durable together, on average.",
                 f"sum(rate({batches}_sum{RATE})) / (sum(rate({batches}_count{RATE})) > 0) or vector(0)", decimals=1),
            stat("Commit, p99", "s", "How long one in a hundred batches exceeds until it is durable; 0 where none was.",
                 f"({p99('seawall_likes_commit_seconds', '')} > 0) or vector(0)", GREEN, (0.1, YELLOW), (1, RED)),
            stat("Not counted yet", "short", "Operations that are durable and not counted.",
                 "sum(seawall_likes_durable_sequence - seawall_likes_applied_sequence)", GREEN, (1000, YELLOW), (10000, RED)),
            stat("On disk first", "short", "1 if every log has an operation on the disk before it is acknowledged.",
                 "min(seawall_likes_fsync_before_ack)", RED, (1, GREEN)),
            stat("Logs down", "short", "Logs that have failed: their likes are refused until the next start.",
                 "sum(seawall_likes_down)", GREEN, (1, RED)),
        ]),
        (1, [row("What comes, and what comes of it")]),
        (8, [
            series("Operations/s", "ops", "What was answered, by what it was.",
                   ("{{op}}", rate("seawall_likes_accepted_total", "", "op")), stack=True),
            series("Answers/s", "ops", "By what came of it.",
                   ("{{result}}", rate("seawall_likes_accepted_total", "", "result")), stack=True),
            series("Shed/s", "ops", "Answered 503 `overloaded` without any effect, by the bound that was reached; reads of "
                   "counts too.",
                   ("{{reason}}", rate("seawall_likes_shed_total", "", "reason")), stack=True),
            series("Came again/s", "ops", "What was not counted again: an operation that was sent twice, a batch that the log "
                   "holds twice.",
                   ("{{layer}}", rate("seawall_likes_duplicates_total", "", "layer"))),
        ]),
        (1, [row("The queue and its log")]),
        (8, [
            series("Waiting", "short", "Operations that wait to be made durable, by shard.",
                   ("{{name}} {{shard}}", "seawall_likes_queue_depth")),
            series("Batches", "short", "Operations of a batch; they grow with the load, while one batch is written.",
                   ("mean", f"sum(rate({batches}_sum{RATE})) / (sum(rate({batches}_count{RATE})) > 0)"),
                   ("p99", p99(batches, ""))),
            series("Commits/s", "ops", "Batches made durable, each by one write.",
                   ("{{name}} {{shard}}", f"rate(seawall_likes_commit_seconds_count{RATE})")),
            series("Commit time", "s", "How long it took to make a batch durable.",
                   ("p50", f"histogram_quantile(0.5, sum by (le) (rate(seawall_likes_commit_seconds_bucket{RATE})))"),
                   ("p99", p99("seawall_likes_commit_seconds", ""))),
        ]),
        (1, [row("Counting and reading")]),
        (8, [
            series("Not counted yet", "short", "Operations that are durable and not counted, by shard.",
                   ("{{name}} {{shard}}", "seawall_likes_durable_sequence - seawall_likes_applied_sequence")),
            series("Lag", "s", "How long the last batch that was counted had been durable before.",
                   ("{{name}} {{shard}}", "seawall_likes_lag_seconds")),
            series("Sequence", "short", "The last operation that is counted; all nodes that share a log come to the same.",
                   ("{{name}} {{shard}}", "seawall_likes_applied_sequence")),
            series("Readers that wait", "short", "For counts to change, for a barrier, or on a stream of counts.",
                   ("{{name}}", "seawall_likes_waiting_readers")),
        ]),
    ]


DASHBOARDS = {
    "surge": dashboard("surge", "surge", "A surge at Seawall's edges: the story at the top, its causes below.", surge(), [EDGES]),
    "edge": dashboard("edge", "edge", "What viewers ask of Seawall's edges, what happens to it, and why.", edge(), [EDGES]),
    "origin": dashboard("origin", "origin", "What reaches Seawall's origin, and what is published there.", origin(), []),
    "likes": dashboard("likes", "likes", "The queue of likes: what comes, how it becomes durable, how far it is counted.",
                       likes(), []),
}


def main():
    here = pathlib.Path(__file__).resolve().parent
    stale = []
    for name, made in DASHBOARDS.items():
        path, text = here / f"{name}.json", json.dumps(made, indent=2, ensure_ascii=False) + "\n"
        if "--check" not in sys.argv[1:]:
            path.write_text(text)
        elif not path.exists() or path.read_text() != text:
            stale.append(path.name)
    if stale:
        sys.exit(f"{', '.join(stale)}: not what dashboards/grafana/make.py writes; run it")


if __name__ == "__main__":
    main()
