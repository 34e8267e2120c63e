"""Counts items of an archive by status with engines that know nothing of tapedeck.

count.py ROOT ENGINE...   ROOT a folder or s3://bucket; engines are pyarrow, pandas, duckdb, spark

Prints one JSON object a line: the engine, counts by status, and figures that need other columns. A bucket
is read at S3_ENDPOINT with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.
"""
import glob
import json
import os
import sys

ROOT = sys.argv[1]
FIGURES = """count(*) filter (where recording = 'all' and node = 'node-a' and src_namespace = 'shop'),
  max(elapsed_nanos), count(DISTINCT stream)"""


def files_and_system():
    import pyarrow.fs
    if not ROOT.startswith("s3://"):
        return glob.glob(ROOT + "/reels/**/*.items.parquet", recursive=True), None
    scheme, host = os.environ["S3_ENDPOINT"].split("://")
    system = pyarrow.fs.S3FileSystem(
        access_key=os.environ["AWS_ACCESS_KEY_ID"], secret_key=os.environ["AWS_SECRET_ACCESS_KEY"],
        endpoint_override=host, scheme=scheme, region="us-east-1", force_virtual_addressing=False)
    below = pyarrow.fs.FileSelector(ROOT[5:] + "/reels", recursive=True)
    return [one.path for one in system.get_file_info(below) if one.path.endswith(".items.parquet")], system


def table():
    import pyarrow.dataset
    files, system = files_and_system()
    return pyarrow.dataset.dataset(files, filesystem=system, format="parquet", partitioning="hive").to_table()


def pyarrow():
    import pyarrow.compute as pc
    rows = table()
    counts = rows.group_by("status").aggregate([([], "count_all")]).to_pylist()
    ours = rows.filter((pc.field("recording") == "all") & (pc.field("node") == "node-a")
                       & (pc.field("src_namespace") == "shop"))
    figures = [ours.num_rows, pc.max(rows["elapsed_nanos"]).as_py(), len(pc.unique(rows["stream"]))]
    return {str(row["status"]): row["count_all"] for row in counts}, figures


def pandas():
    frame = table().to_pandas()
    counts = frame["status"].value_counts()
    ours = frame[(frame.recording == "all") & (frame.node == "node-a") & (frame.src_namespace == "shop")]
    figures = [len(ours), int(frame.elapsed_nanos.max()), int(frame.stream.nunique())]
    return {str(int(status)): int(count) for status, count in counts.items()}, figures


def duckdb():
    import duckdb
    connection = duckdb.connect()
    if ROOT.startswith("s3://"):
        from fsspec.implementations.arrow import ArrowFSWrapper

        class Bucket(ArrowFSWrapper):
            protocol = "s3"
        connection.register_filesystem(Bucket(files_and_system()[1]))
    items = f"read_parquet('{ROOT}/reels/**/*.items.parquet', hive_partitioning = true)"
    counts = connection.sql(f"SELECT status, count(*) FROM {items} GROUP BY ALL").fetchall()
    figures = connection.sql(f"SELECT {FIGURES} FROM {items}").fetchall()[0]
    return {str(status): count for status, count in counts}, list(figures)


def spark():
    from pyspark.sql import SparkSession
    settings = {
        "spark.ui.enabled": "false", "spark.driver.bindAddress": "127.0.0.1", "spark.driver.host": "127.0.0.1",
        "spark.sql.shuffle.partitions": "2", "spark.log.level": "ERROR"}
    builder = SparkSession.builder.master("local[2]")
    for name, value in settings.items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
    items = (session.read.option("basePath", ROOT + "/reels/")
             .option("pathGlobFilter", "*.items.parquet").parquet(ROOT + "/reels/"))
    items.createOrReplaceTempView("items")
    counts = session.sql("SELECT status, count(*) FROM items GROUP BY status").collect()
    figures = list(session.sql(f"SELECT {FIGURES} FROM items").collect()[0])
    session.stop()
    return {str(status): count for status, count in counts}, figures


for engine in sys.argv[2:]:
    by_status, figures = globals()[engine]()
    print(json.dumps({"engine": engine, "status": by_status, "figures": figures}))
