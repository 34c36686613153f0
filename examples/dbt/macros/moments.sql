{#- A file of `metricdef build`, as it is: it makes its own table, and replaces its own rows in its own transaction. -#}
{% materialization moments, default %}
  {% call statement("main", auto_begin=False) %}{{ sql }}{% endcall %}
  {{ return({"relations": []}) }}
{% endmaterialization %}
