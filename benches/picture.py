"""Pictures of measurements: SVG in light and dark, made of figures that are kept."""

import html
import math
import pathlib
import sys

MEASURED = pathlib.Path(__file__).resolve().parent / "measured"
THEMES = {
    "light": {"text": "#1f2328", "faint": "#59636e", "line": "#d1d9e0", "band": "#fff1e5",
              "vestibule": "#0969da", "tarantool": "#57606a"},
    "dark": {"text": "#e6edf3", "faint": "#9198a1", "line": "#3d444d", "band": "#3d2a1a",
             "vestibule": "#4493f8", "tarantool": "#b1bac4"},
}
WIDTH = 760


def share(value, least, most):
    """Where a value stands between two on a logarithmic axis: 0 to 1."""
    return math.log(min(max(value, least), most) / least) / math.log(most / least)


class Picture:
    """What is drawn so far, in the colors of a theme."""

    def __init__(self, theme):
        self.colors = THEMES[theme]
        self.parts = []

    def text(self, x, y, words, color="text", anchor="start", weight="normal"):
        self.parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" fill="{self.colors[color]}" text-anchor="{anchor}"'
            f' font-weight="{weight}">{html.escape(words)}</text>')

    def line(self, left, right, y):
        self.parts.append(f'<line x1="{left}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}"'
                          f' stroke="{self.colors["line"]}"/>')

    def machine(self, y, machine, versions):
        self.text(0, y, f"{machine['cpu'] or 'unknown processor'}, {machine['cores']} cores;"
                        f" {', '.join(versions)}", "faint")

    def svg(self, height, title):
        return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}"'
                f' viewBox="0 0 {WIDTH} {height}" role="img" font-size="12"'
                ' font-family="system-ui, sans-serif">\n'
                f"<title>{title}</title>\n"
                + "\n".join(self.parts) + "\n</svg>\n")


def write(made, is_check, script):
    """Writes files that are made of figures, by path; or fails if one is another."""
    for path, text in made.items():
        if not is_check:
            path.write_text(text, encoding="utf-8")
        elif not path.is_file() or path.read_text(encoding="utf-8") != text:
            sys.exit(f"{path} is not made of the figures that are kept: {script} --draw")
