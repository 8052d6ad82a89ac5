#!/usr/bin/env python3
"""Draws a board of dashboards/grafana/ from what a Prometheus has, as one HTML page with SVG in it.

A preview for those who have no Grafana at hand, and for looking at the boards: it is not what Grafana draws.

    preview.py BOARD PROMETHEUS_URL FROM UNTIL > board.html      times in UNIX seconds
"""

import html
import json
import math
import pathlib
import sys
import urllib.parse
import urllib.request

UNIT, GAP = 62, 8
COLUMN = 1500 / 24
COLORS = ["#73bf69", "#f2cc0c", "#5794f2", "#ff9830", "#f2495c", "#b877d9", "#8ab8ff", "#37872d", "#fade2a", "#a352cc"]
NAMED = {"green": "#73bf69", "orange": "#ff9830", "red": "#f2495c", "blue": "#5794f2", "text": "#d8d9da"}


class Prometheus:
    def __init__(self, url, begin, end):
        self.url, self.begin, self.end = url, begin, end

    def ask(self, expr):
        """Each series of an expression: its labels, and its finite samples."""
        expr = expr.replace("$__rate_interval", "4s").replace("$edge", ".*")
        query = urllib.parse.urlencode({"query": expr, "start": self.begin, "end": self.end, "step": 1})
        with urllib.request.urlopen(f"{self.url}/api/v1/query_range?{query}", timeout=20) as answer:
            result = json.load(answer)["data"]["result"]
        for series in result:
            samples = [(time, float(value)) for time, value in series["values"]]
            yield series["metric"], [(time, value) for time, value in samples if math.isfinite(value)]


def figure(value, unit):
    """A number as Grafana would write it, more or less."""
    if unit == "percentunit":
        return f"{value * 100:.3g} %"
    if unit == "s":
        return f"{value * 1000:.3g} ms" if abs(value) < 1 else f"{value:.3g} s"
    if unit in ("bytes", "Bps"):
        for prefix in ["", "k", "M", "G"]:
            if abs(value) < 1000:
                break
            value /= 1000
        return f"{value:.3g} {prefix}{'B' if unit == 'bytes' else 'B/s'}"
    suffix = {"reqps": " req/s", "ops": "/s"}.get(unit, "")
    if unit == "none" or abs(value) < 1000:
        return f"{value:.6g}{suffix}" if unit == "none" and value >= 1000 else f"{value:.3g}{suffix}"
    return f"{value / 1000:.3g} k{suffix}"


def text(x, y, words, size=12, color="#d8d9da", anchor="start", weight="normal"):
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{color}" text-anchor="{anchor}" '
        f'font-weight="{weight}">{html.escape(words)}</text>'
    )


def legend(template, labels):
    for name in list(labels) + ["name"]:
        template = template.replace("{{" + name + "}}", labels.get(name, ""))
    return template


def stat(panel, data, width, height):
    unit = panel["fieldConfig"]["defaults"]["unit"]
    samples = next((samples for _, samples in data if samples), [])
    if not samples:
        return text(width / 2, height / 2 + 10, "no data", 20, "#8e8e8e", "middle")
    value = samples[-1][1]
    color = NAMED["green"]
    for step in panel["fieldConfig"]["defaults"]["thresholds"]["steps"]:
        if step["value"] is None or value >= step["value"]:
            color = NAMED[step["color"]]
    top = max(value for _, value in samples) or 1
    first, last = samples[0][0], samples[-1][0]
    points = " ".join(
        f"{(time - first) / max(last - first, 1) * width:.1f},{height - 4 - max(value, 0) / top * height * 0.35:.1f}"
        for time, value in samples
    )
    return (
        f'<polyline points="{points}" fill="none" stroke="{color}" stroke-opacity="0.5" stroke-width="1.5"/>'
        + text(width / 2, height / 2 + 12, figure(value, unit), min(34, height / 4), color, "middle", "bold")
    )


def nice(top):
    """A rounded bound at or above this."""
    scale = 10 ** math.floor(math.log10(top))
    return next(step * scale for step in (1, 2, 2.5, 5, 10) if step * scale >= top * 0.999)


def chart(panel, data, width, height, prometheus, events):
    defaults = panel["fieldConfig"]["defaults"]
    unit, custom = defaults["unit"], defaults["custom"]
    log = custom["scaleDistribution"]["type"] == "log"
    stack = custom["stacking"]["mode"] == "normal"
    dashed = {override["matcher"]["options"] for override in panel["fieldConfig"]["overrides"]}
    data = [(name, [s for s in samples if not log or s[1] > 0]) for name, samples in data]
    data = [(name, samples) for name, samples in data if samples]
    if not data:
        return text(width / 2, height / 2, "no data", 16, "#8e8e8e", "middle")
    if stack:
        below, stacked = {}, []
        for name, samples in data:
            base = [(time, below.get(time, 0.0)) for time, _ in samples]
            for time, value in samples:
                below[time] = below.get(time, 0.0) + value
            stacked.append((name, [(time, below[time]) for time, _ in samples], base))
        drawn = stacked
    else:
        drawn = [(name, samples, None) for name, samples in data]
    values = [value for _, samples, _ in drawn for _, value in samples]
    left, right, top, bottom = 66, 10, 30, 46
    inner_w, inner_h = width - left - right, height - top - bottom
    if log:
        low = math.floor(math.log10(min(values)))
        high = max(math.ceil(math.log10(max(values))), low + 1)
        low = max(low, high - 6)
        ticks = [10.0 ** power for power in range(low, high + 1)]

        def y(value):
            return top + inner_h * (1 - (max(math.log10(value), low) - low) / (high - low))
    else:
        least = 0.0 if "min" in defaults else min(values)
        most = nice(max(values)) if least == 0 and max(values) > 0 else max(max(values), least + 1)
        ticks = [least + (most - least) * part / 4 for part in range(5)]

        def y(value):
            return top + inner_h * (1 - (value - least) / (most - least))

    def x(time):
        return left + inner_w * (time - prometheus.begin) / (prometheus.end - prometheus.begin)

    parts = []
    for tick in ticks:
        parts.append(f'<line x1="{left}" x2="{width - right}" y1="{y(tick):.1f}" y2="{y(tick):.1f}" stroke="#2c3235"/>')
        parts.append(text(left - 6, y(tick) + 4, figure(tick, unit), 10, "#8e8e8e", "end"))
    span = prometheus.end - prometheus.begin
    for second in range(0, int(span) + 1, 10 if span <= 90 else 30):
        parts.append(text(x(prometheus.begin + second), height - bottom + 14, f"{second} s", 10, "#8e8e8e", "middle"))
    for name, time in events:
        if prometheus.begin <= time <= prometheus.end:
            parts.append(
                f'<line x1="{x(time):.1f}" x2="{x(time):.1f}" y1="{top}" y2="{height - bottom}" stroke="#b877d9" '
                'stroke-dasharray="3 3"/>'
            )
            if width > 700:
                parts.append(text(x(time) + 4, top + 10, name, 10, "#b877d9"))
    for index, (name, samples, base) in enumerate(drawn):
        color = COLORS[index % len(COLORS)]
        points = [f"{x(time):.1f},{y(value):.1f}" for time, value in samples]
        if base is not None:
            points_back = [f"{x(time):.1f},{y(value):.1f}" for time, value in reversed(base)]
            parts.append(
                f'<polygon points="{" ".join(points + points_back)}" fill="{color}" fill-opacity="0.6" stroke="{color}" '
                'stroke-width="0.6"/>'
            )
        else:
            dash = ' stroke-dasharray="7 5"' if name in dashed else ""
            parts.append(f'<polyline points="{" ".join(points)}" fill="none" stroke="{color}" stroke-width="1.8"{dash}/>')
    at = left
    for index, (name, _, _) in enumerate(drawn):
        wide = 20 + 6.4 * len(name)
        if at + wide > (width if index == len(drawn) - 1 else width - 36):
            parts.append(text(at, height - 10, f"+ {len(drawn) - index}", 11, "#8e8e8e"))
            break
        color = COLORS[index % len(COLORS)]
        parts.append(f'<rect x="{at}" y="{height - 15}" width="10" height="3" fill="{color}"/>' + text(at + 14, height - 10, name, 11))
        at += wide
    return "".join(parts)


def draw(board, prometheus):
    events = [
        (labels["event"], samples[-1][1])
        for labels, samples in prometheus.ask("seawall_event_timestamp_seconds")
        if samples
    ]
    parts, bottom = [], 0
    for panel in board["panels"]:
        at = panel["gridPos"]
        left, top = at["x"] * COLUMN + GAP / 2, at["y"] * UNIT / 2 + 56
        width, height = at["w"] * COLUMN - GAP, at["h"] * UNIT / 2 - GAP
        bottom = max(bottom, top + height)
        if panel["type"] == "row":
            parts.append(text(left + 4, top + 16, panel["title"], 14, "#d8d9da", weight="bold"))
            continue
        data = [
            (legend(target["legendFormat"], labels), samples)
            for target in panel["targets"]
            for labels, samples in prometheus.ask(target["expr"])
        ]
        inside = (
            stat(panel, data, width, height)
            if panel["type"] == "stat"
            else chart(panel, data, width, height, prometheus, events)
        )
        parts.append(
            f'<g transform="translate({left:.1f},{top:.1f})"><rect width="{width:.1f}" height="{height:.1f}" rx="3" '
            f'fill="#181b1f" stroke="#2c3235"/>{inside}{text(10, 19, panel["title"], 13, weight="bold")}</g>'
        )
    label = f"{board['title']}  —  a preview drawn by Seawall's tests, not Grafana"
    return (
        '<!doctype html><meta charset="utf-8"><style>body{margin:0;background:#111217}</style>'
        f'<svg xmlns="http://www.w3.org/2000/svg" width="1500" height="{bottom + GAP:.0f}" '
        'font-family="DejaVu Sans, Helvetica, Arial, sans-serif">'
        f'{text(10, 34, label, 18, weight="bold")}{"".join(parts)}</svg>\n'
    )


def main():
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    name, url, begin, end = sys.argv[1:]
    boards = pathlib.Path(__file__).resolve().parents[2] / "dashboards" / "grafana"
    board = json.loads((boards / f"{name}.json").read_text())
    print(draw(board, Prometheus(url, float(begin), float(end))), end="")


if __name__ == "__main__":
    main()
