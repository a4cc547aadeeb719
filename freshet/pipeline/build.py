"""Build a pipeline: definition, source and Spark's types agree, or it is told why not.

Types come from Spark's own analyzer over empty views with the source's types. The analyzed plan also shows every
conversion that Spark would slip in; one that could throw on a value is refused here, for it would stop the stream.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

from mysql.connector.abstracts import MySQLConnectionAbstract
from pyspark.errors import AnalysisException, ParseException
from pyspark.sql import DataFrame, SparkSession
from sqlglot import exp

from freshet.pipeline.ddl import check_sizes
from freshet.pipeline.definition import Definition, load_definition
from freshet.pipeline.fit import Types, fit
from freshet.pipeline.model import ROWS, Output, Pipeline, quote, row_column
from freshet.pipeline.problems import YAML_FILE, Place, Problems
from freshet.pipeline.select import Item
from freshet.pipeline.source import SourceSchema, read_source
from freshet.pipeline.spark import SESSION_SETTINGS, register_names
from freshet.pipeline.types import VARCHAR_BYTES_MAX, ColumnType, redshift_type
from freshet.pipeline.widths import text_bytes

_TAKES_TEXT = "tokenize() and mask_digits() take text; write try_cast(x as string) inside"
_TEXT_CALL = "PythonUDF"  # tokenize and mask_digits, as the analyzed plan shows them


def load_pipeline(folder: Path, connection: MySQLConnectionAbstract, database: str, spark: SparkSession) -> Pipeline:
    """Read a folder and its source, and check all of it.

    Raises:
        DefinitionError: The folder is wrong, in itself or for this source.
        EnvironmentFault: MySQL does not answer.
    """
    definition = load_definition(folder)
    return build_pipeline(definition, read_source(connection, database, definition.tables), spark)


def build_pipeline(definition: Definition, source: SourceSchema, spark: SparkSession) -> Pipeline:
    """Check a definition against its source, and give its outputs their types.

    Args:
        definition: A checked folder.
        source: Its tables.
        spark: Any session; the analysis runs in one of its own beside it.

    Raises:
        DefinitionError: They do not fit together; DefinitionErrors for several reasons.
    """
    pipeline, types = fit(definition, source)
    problems = Problems()
    pipeline = replace(pipeline, outputs=_typed(pipeline, definition, types, spark, problems))
    for message in check_sizes(pipeline):
        problems.add(message, Place(YAML_FILE))
    problems.raise_if_any()
    return pipeline


def _typed(
    pipeline: Pipeline, definition: Definition, types: Types, spark: SparkSession, problems: Problems
) -> tuple[Output, ...]:
    session = spark.newSession()
    for name, value in SESSION_SETTINGS.items():
        session.conf.set(name, value)
    register_names(session)
    columns = [
        f"cast(null as {column.type.spark}) as {quote(row_column(table.alias, column.name))}"
        for table in pipeline.tables
        for column in table.columns
    ]
    session.sql(f"create temporary view {ROWS} as select {', '.join(columns)}")
    analyzed = _analyzed(pipeline, definition, session, problems)
    if analyzed is None:
        return pipeline.outputs
    plan: Any = analyzed._jdf.queryExecution().analyzed()
    if definition.select.where:
        _check_where(definition.select.where, session, problems)
    casts = session._jvm.org.apache.spark.sql.catalyst.expressions.Cast  # type: ignore[union-attr]
    outputs = []
    for index, (item, output) in enumerate(zip(definition.select.items, pipeline.outputs, strict=True)):
        if item.bare is None:
            _check_conversions(plan.projectList().apply(index), item, casts, problems)
        spark_type = analyzed.schema.fields[index].dataType.simpleString()
        if output.outermost and spark_type != "string":
            problems.add(f"{item.name}: {_TAKES_TEXT}", item.place)
        outputs.append(_with_type(output, spark_type, item, types, problems))
    return tuple(outputs)


def _analyzed(
    pipeline: Pipeline, definition: Definition, session: SparkSession, problems: Problems
) -> DataFrame | None:
    try:
        return session.sql(pipeline.select_sql())
    except (AnalysisException, ParseException):
        where = definition.select.where
        for item in (*definition.select.items, *([where] if where else [])):
            try:
                session.sql(f"select {item.sql} as x from {ROWS}")
            except (AnalysisException, ParseException) as error:
                problems.add(f"Spark refuses {item.name}: {_first_sentence(error)}", item.place)
        if not problems and where:
            _check_where(where, session, problems)
        if not problems:
            raise
        return None


def _check_where(where: Item, session: SparkSession, problems: Problems) -> None:
    # Alone, since around it Spark would make a truth value of what is none.
    analyzed = session.sql(f"select {where.sql} as x from {ROWS}")
    found = analyzed.schema.fields[0].dataType.simpleString()
    if found != "boolean":
        problems.add(f"after WHERE stands a condition, not {found}: compare it with something", where.place)
    elif where.bare is None:
        plan: Any = analyzed._jdf.queryExecution().analyzed()
        casts = session._jvm.org.apache.spark.sql.catalyst.expressions.Cast  # type: ignore[union-attr]
        _check_conversions(plan.projectList().apply(0), where, casts, problems)


def _first_sentence(error: AnalysisException | ParseException) -> str:
    parameters = error.getMessageParameters() or {}
    text = (str(error).splitlines() or [""])[0].split("] ", 1)[-1].split(" SQLSTATE")[0]
    return text if text or not parameters else ", ".join(parameters.values())


def _check_conversions(node: Any, item: Item, casts: Any, problems: Problems) -> None:
    name = node.getClass().getSimpleName()
    children = [node.children().apply(index) for index in range(node.children().size())]
    if name == "Cast" and node.evalMode().toString() != "TRY" and not _cannot_throw(node, casts):
        start, end = node.child().dataType().sql(), node.dataType().sql()
        problems.add(
            f"{item.name} mixes types: Spark would turn {start} into {end}, which throws on a value that does not fit; "
            "write try_cast(x as type), or a constant of the right type",
            item.place,
        )
    if name == _TEXT_CALL:
        for child in children:
            if child.dataType().sql() != "STRING":
                problems.add(f"{item.name}: {_TAKES_TEXT}", item.place)
    for child in children:
        _check_conversions(child, item, casts, problems)


_SAFE_CASTS = {("TIMESTAMP_NTZ", "DATE"), ("STRING", "BINARY")}  # beside Spark's own list


def _cannot_throw(cast: Any, casts: Any) -> bool:
    start, end, child = cast.child().dataType(), cast.dataType(), cast.child().getClass().getSimpleName()
    if start.sql() == "DATE" and end.sql().startswith("TIMESTAMP"):
        return child in ("AttributeReference", "Literal")  # a computed date may lie millions of years away
    if casts.canUpCast(start, end) or (start.sql(), end.sql()) in _SAFE_CASTS:
        return True
    if start.sql().startswith("DECIMAL") and end.sql() == "DOUBLE":
        return True
    # Spark sizes the decimal by the constant.
    return child == "Literal" and start.sql() in ("INT", "BIGINT") and end.sql().startswith("DECIMAL")


def _with_type(output: Output, spark: str, item: Item, types: Types, problems: Problems) -> Output:
    sql = output.sql
    if spark.startswith("decimal(19,"):
        # Redshift keeps 19 digits in 64 bits, which end at 9,223,372,036,854,775,807.
        spark = spark.replace("decimal(19,", "decimal(20,")
        sql = f"try_cast({sql} as {spark})"

    def type_of(column: exp.Column) -> ColumnType | None:
        return types.get((column.table, column.name))

    width = text_bytes(item.tree, type_of) if spark == "string" else None
    redshift = redshift_type(spark, VARCHAR_BYTES_MAX if width is None else width)
    if redshift is None:
        hint = "give it a type: try_cast(null as int)" if spark == "void" else "write try_cast(... as type)"
        problems.add(f"{item.name} has the type {spark}, which Redshift cannot hold: {hint}", item.place)
    return replace(output, spark=spark, redshift=redshift or "", sql=sql)
