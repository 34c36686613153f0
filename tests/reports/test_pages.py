from metricdef.reports.pages import page_environment, page_template


def test_values_are_text_on_every_page():
    page = page_environment().from_string('{% extends "base.html.j2" %}{% block content %}{{ name }}{% endblock %}')
    assert "&lt;script&gt;&#34;" in page.render(name='<script>"')


def test_a_page_asks_nothing_of_a_network():
    page = page_template("base.html.j2").render()
    assert "http:" not in page
    assert "https:" not in page
    assert "default-src 'none'" in page
