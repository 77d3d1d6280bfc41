#!/usr/bin/python3
"""Draws docs/benchmarks-*.svg and writes docs/benchmarks-tables.md from the figures of a run.

    tests/bench/plot.py FIGURES.json FOLDER

Needs matplotlib (Debian: apt-get install python3-matplotlib). The same figures give the same bytes.
"""

import json
import pathlib
import sys

try:
    import matplotlib
except ImportError:
    sys.exit("plot.py: matplotlib is missing; apt-get install python3-matplotlib")

matplotlib.use("svg")
matplotlib.rcParams["svg.hashsalt"] = "strongroom"
matplotlib.rcParams["svg.fonttype"] = "none"
matplotlib.rcParams["axes.grid"] = True
matplotlib.rcParams["axes.axisbelow"] = True
matplotlib.rcParams["grid.alpha"] = 0.3
from matplotlib import pyplot  # noqa: E402

TRANSPORTS = ["unix", "tcp", "mtls"]


class Plot:
    """One picture: `with Plot(path) as axes`."""

    def __init__(self, path, title, x_label, y_label):
        self._path = path
        self._figure, self.axes = pyplot.subplots(figsize=(8, 4))
        self.axes.set_title(title)
        self.axes.set_xlabel(x_label)
        self.axes.set_ylabel(y_label)

    def __enter__(self):
        return self.axes

    def __exit__(self, *error):
        if self.axes.get_legend_handles_labels()[0]:
            # Beside the picture, for it would hide what is drawn.
            self.axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=8)
        self._figure.savefig(self._path, metadata={"Date": None}, bbox_inches="tight")
        pyplot.close(self._figure)


def bars(axes, groups, series, demand=None):
    """Bars side by side: `series` is name -> (values, least, most), each as long as `groups`."""
    width = 0.8 / len(series)
    for i, (name, (values, least, most)) in enumerate(series.items()):
        places = [group + (i - (len(series) - 1) / 2) * width for group in range(len(groups))]
        errors = [
            [max(0, value - low) for value, low in zip(values, least)],
            [max(0, high - value) for value, high in zip(values, most)],
        ]
        axes.bar(places, values, width, yerr=errors, capsize=2, label=name)
    axes.set_xticks(range(len(groups)), groups, rotation=20, ha="right", fontsize=8)
    if demand is not None:
        axes.axhline(demand, color="black", linestyle="--", label=f"demanded: {demand:g}")


def with_spread(rows, field):
    return (
        [row[field] for row in rows],
        [row.get(field + "_least", row[field]) for row in rows],
        [row.get(field + "_most", row[field]) for row in rows],
    )


def line(axes, rows, x, field, name):
    values, least, most = with_spread(rows, field)
    places = [row[x] for row in rows]
    drawn = axes.plot(places, values, marker="o", label=name)
    axes.fill_between(places, least, most, alpha=0.15, color=drawn[0].get_color())


def draw_operations(figures, folder):
    operations = list(dict.fromkeys(row["operation"] for row in figures["ops"]))
    by_key = {(r["operation"], r["transport"], r["in_flight"]): r for r in figures["ops"]}
    with Plot(
        folder / "benchmarks-operations.svg", "Rate to that of an empty RPC, 64 in flight", "", "ratio"
    ) as axes:
        bars(
            axes,
            operations,
            {t: with_spread([by_key[o, t, 64] for o in operations], "ratio_to_echo") for t in TRANSPORTS},
            demand=0.8,
        )
    with Plot(
        folder / "benchmarks-rates.svg", "Calls a second over a unix socket", "calls in flight", "calls a second"
    ) as axes:
        echo = [r for r in figures["echo"] if r["model"] == "as served" and r["transport"] == "unix"]
        line(axes, echo, "in_flight", "rps", "empty RPC")
        for operation in operations:
            rows = [by_key[operation, "unix", n] for n in (1, 16, 64)]
            line(axes, rows, "in_flight", "rps", operation)
        axes.set_xscale("log", base=2)
        axes.set_xticks([1, 16, 64], ["1", "16", "64"])
        axes.set_ylim(bottom=0)


def draw_half_load(figures, folder):
    rows = figures["half_load"]
    with Plot(
        folder / "benchmarks-half-load.svg", "p99 at half of an operation's rate", "", "milliseconds"
    ) as axes:
        bars(
            axes,
            [f"{row['operation']}, {row['transport']}" for row in rows],
            {
                "operation": with_spread(rows, "p99_ms"),
                "empty RPC at the same rate": with_spread(rows, "echo_same_rate_p99_ms"),
                "empty RPC at half of its own": with_spread(rows, "echo_half_p99_ms"),
            },
        )


def draw_batch(figures, folder):
    with Plot(
        folder / "benchmarks-batch.svg", "Data keys a second by batches", "keys in a call", "keys a second"
    ) as axes:
        for in_flight in (1, 2, 4):
            rows = [row for row in figures["batch"]["each"] if row["in_flight"] == in_flight]
            line(axes, rows, "count", "keys_per_s", f"{in_flight} calls in flight")
        axes.axhline(figures["raw_seal_rps"], color="black", linestyle="--", label="raw seals")
        axes.set_xscale("log")
        axes.set_ylim(bottom=0)


def draw_pairs(figures, folder):
    rows = figures["pairs"]
    with Plot(folder / "benchmarks-pairs.svg", "Key pairs: p50", "", "milliseconds") as axes:
        one = lambda field: ([row[field] for row in rows],) * 3  # noqa: E731
        bars(
            axes,
            [row["spec"] for row in rows],
            {
                "generated by the token": one("raw_ms_p50"),
                "from the reservoir": one("served_ms_p50"),
                "GenerateDataKey": one("data_key_ms_p50"),
            },
        )
        axes.set_yscale("log")


def draw_lanes(figures, folder):
    with Plot(
        folder / "benchmarks-lanes.svg", "A token that takes 1 ms a call", "lanes", "data keys a second"
    ) as axes:
        rows = figures["lanes"]
        line(axes, rows, "lanes", "rps", "below gRPC")
        line(axes, [row for row in rows if "grpc_rps" in row], "lanes", "grpc_rps", "over gRPC")
        lanes = [row["lanes"] for row in rows]
        axes.plot(lanes, [rows[0]["rps"] * n for n in lanes], "k:", label="one lane's, times lanes")
        axes.set_xscale("log", base=2)
        axes.set_yscale("log", base=2)
        axes.set_xticks(lanes, [str(n) for n in lanes])


def draw_growth(figures, folder):
    rows = figures["growth"]
    with Plot(folder / "benchmarks-growth.svg", "Keys in the store", "keys", "ratio to one key") as axes:
        line(axes, rows, "keys", "ratio_to_one_key", "GenerateDataKey, 64 in flight")
        axes.axhline(0.9, color="black", linestyle="--", label="demanded: 0.9")
        axes.set_xscale("log")
        axes.set_ylim(bottom=0)


DRAWINGS = {
    "ops": draw_operations,
    "half_load": draw_half_load,
    "batch": draw_batch,
    "pairs": draw_pairs,
    "lanes": draw_lanes,
    "growth": draw_growth,
}


def number(value):
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def table(rows):
    """A Markdown table: a column for each field; the least and the most stand with the median."""
    columns = []
    for row in rows:
        for field, value in row.items():
            is_spread = field.endswith(("_least", "_most"))
            if not is_spread and not isinstance(value, (list, dict)) and field not in columns:
                columns.append(field)
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    for row in rows:
        cells = []
        for column in columns:
            cell = number(row[column]) if column in row else ""
            least, most = row.get(column + "_least"), row.get(column + "_most")
            if least != most:
                cell += f" ({number(least)} to {number(most)})"
            cells.append(cell)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def tables(figures):
    parts = ["# Benchmarks: all figures", "Written by `tests/bench/plot.py` from `benchmarks.json`; see [Benchmarks](benchmarks.md)."]
    single = {name: value for name, value in figures.items() if not isinstance(value, (list, dict))}
    parts += ["## run", table([single])]
    # What was promised comes first.
    for name in sorted(figures, key=lambda key: key != "demands"):
        value = figures[name]
        if not value:
            continue
        if isinstance(value, list):
            parts += [f"## {name}", table(value)]
        elif isinstance(value, dict):
            parts += [f"## {name}", table([value])]
            parts += [table(inner) for inner in value.values() if isinstance(inner, list)]
    return "\n\n".join(parts) + "\n"


def main():
    if len(sys.argv) != 3:
        sys.exit("usage: plot.py FIGURES.json FOLDER")
    figures = json.loads(pathlib.Path(sys.argv[1]).read_text())
    folder = pathlib.Path(sys.argv[2])
    for name, draw in DRAWINGS.items():
        if name in figures:
            draw(figures, folder)
    (folder / "benchmarks-tables.md").write_text(tables(figures))


if __name__ == "__main__":
    main()
