"""One self-contained HTML page that shows what a model based its predictions on.

A `Subject` says what was explained (images, table rows or texts, with names and true labels), an
`Explanation` per method says how; `write_report` puts both on a page that needs no other file and no
other host. Everything that comes from a file or a model is escaped.
"""

from pellucid.report._certificate import CertificateView, certificate_view
from pellucid.report._overview import Section, render_overview
from pellucid.report._page import Run, value_text
from pellucid.report._pictures import png_uri
from pellucid.report._render import comparison_fragment, render_comparison, render_report, write_report
from pellucid.report._subject import Subject, subject_of
from pellucid.report._verdict import Verdict, explanation_title, method_title, verdict_of

__all__ = [
    "CertificateView",
    "Run",
    "Section",
    "Subject",
    "Verdict",
    "certificate_view",
    "comparison_fragment",
    "explanation_title",
    "method_title",
    "png_uri",
    "render_comparison",
    "render_overview",
    "render_report",
    "subject_of",
    "value_text",
    "verdict_of",
    "write_report",
]
