"""A bar chart as SVG that can be read on light and on dark ground."""

WIDTH, LEFT, RIGHT, BAR, STEP = 740, 170, 130, 18, 28
STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #24292f }
  .title { font-weight: 600 }
  .bar { fill: #8c959f }
  .own { fill: #0969da }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 }
    .bar { fill: #6e7681 }
    .own { fill: #4493f8 }
  }
"""


def escape(text):
    return text.replace("&", "&amp;").replace("<", "&lt;")


def bars(title, rows):
    """`rows`: name, value, what stands behind the bar, whether it is ours. One linear scale."""
    height = 44 + STEP * len(rows)
    most = max(value for _, value, _, _ in rows)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title)}">',
           f"<style>{STYLE}</style>", f'<text class="title" x="8" y="22">{escape(title)}</text>']
    for number, (name, value, label, own) in enumerate(rows):
        top = 36 + STEP * number
        length = max(1.5, value / most * (WIDTH - LEFT - RIGHT))
        middle = top + BAR - 4.5
        out.append(f'<text x="{LEFT - 8}" y="{middle}" text-anchor="end">{escape(name)}</text>')
        out.append(f'<rect class="{"own" if own else "bar"}" x="{LEFT}" y="{top}" width="{length:.1f}" height="{BAR}" rx="2"/>')
        out.append(f'<text x="{LEFT + length + 6:.1f}" y="{middle}">{escape(label)}</text>')
    return "\n".join([*out, "</svg>", ""])
