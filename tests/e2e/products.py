"""How each product of presets.py is started and put to work. A function gets the ground, starts the
product on free loopback ports, tells which JVMs are polled with which preset, and returns a reason for
each query that cannot yield values there."""
import glob
import json
import os
import socket
import stat
import subprocess
import urllib.error
import urllib.request

import rig as r
from rig import expect, wait_for

KAFKA_OLD = "only brokers before 4.0 that use ZooKeeper have it"


def get(url, data=None, method=None):
    """The body, or None while nobody answers well."""
    request = urllib.request.Request(url, data=data, method=method,
                                     headers={"Content-Type": "application/json"} if data else {})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.read().decode(errors="replace")
    except urllib.error.HTTPError as e:
        return f"{e.code} {e.read().decode(errors='replace')}" if e.code < 500 else None
    except OSError:
        return None


def listens(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


def replace_in(path, **changes):
    """Texts of a file; each must be there. Keys are only for reading."""
    with open(path, encoding="utf-8") as f:
        text = f.read()
    for old, new in changes.values():
        expect(old in text, f"{path} has no {old!r}")
        text = text.replace(old, new)
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)


def make_runnable(home):
    for path in glob.glob(os.path.join(home, "bin", "*")):
        os.chmod(path, os.stat(path).st_mode | stat.S_IXUSR)


# --- web servers ---

JSP = '<%@ page session="true" %><% session.setAttribute("n", 1); %>hello <%= session.getId() %>\n'


def tomcat(g):
    """Tomcat with a shared executor, a JNDI pool, a JSP with sessions"""
    home = g.unzip()
    make_runnable(home)
    port = r.free_port()
    replace_in(os.path.join(home, "conf", "server.xml"),
               port=('port="8080"', f'port="{port}" address="127.0.0.1" executor="shared"'),
               shutdown=('<Server port="8005"', '<Server port="-1"'),
               executor=('<Service name="Catalina">',
                         '<Service name="Catalina"><Executor name="shared" '
                         'namePrefix="exec-" maxThreads="20" minSpareThreads="2"/>'))
    app = os.path.join(home, "webapps", "demo")
    os.makedirs(os.path.join(app, "META-INF"))
    with open(os.path.join(app, "hello.jsp"), "w", encoding="utf-8") as f:
        f.write(JSP)
    with open(os.path.join(app, "META-INF", "context.xml"), "w", encoding="utf-8") as f:
        f.write('<Context><Resource name="jdbc/demo" auth="Container" type="javax.sql.DataSource" '
                'driverClassName="none.Driver" url="jdbc:none" maxTotal="5" maxIdle="2"/></Context>')
    process = g.start("tomcat", [os.path.join(home, "bin", "catalina.sh"), "run"],
                      {"JAVA_OPTS": "-Xmx192m -XX:+UseSerialGC", "CATALINA_HOME": home,
                       "CATALINA_BASE": home})
    url = f"http://127.0.0.1:{port}/demo/hello.jsp"
    wait_for("Tomcat serves", lambda: "hello" in (get(url) or ""), 120, 0.3)
    for path in ("/demo/hello.jsp", "/demo/none", "/", "/demo/hello.jsp"):
        get(f"http://127.0.0.1:{port}{path}")
    g.poll(g.child_java(process), "tomcat")


def jetty(g):
    """Jetty with a web application and its statistics"""
    home, port = g.unzip(), r.free_port()
    base = g.path("base")
    os.makedirs(os.path.join(base, "webapps", "demo", "WEB-INF"))
    g.write("base/webapps/demo/index.html", "hello\n")
    g.write("base/webapps/demo/WEB-INF/web.xml",
            '<web-app xmlns="https://jakarta.ee/xml/ns/jakartaee" version="6.1"></web-app>\n')
    start = ["java", "-Xmx192m", "-XX:+UseSerialGC", f"-Djetty.home={home}", f"-Djetty.base={base}",
             "-jar", os.path.join(home, "start.jar")]
    r.must_run([*start, "--add-modules=server,http,jmx,statistics,sessions,ee11-webapp,ee11-deploy,"
                "gzip,connectionlimit"])
    process = g.start("jetty", [*start, f"jetty.http.port={port}", "jetty.http.host=127.0.0.1"])
    url = f"http://127.0.0.1:{port}/demo/index.html"
    wait_for("Jetty serves", lambda: "hello" in (get(url) or ""), 120, 0.3)
    get(f"http://127.0.0.1:{port}/none")
    g.poll(g.child_java(process), "jetty")


def wildfly(g):
    """WildFly, full profile with statistics: an application, a datasource, a queue, a topic"""
    home, ports = g.unzip(), {}
    make_runnable(home)
    standalone = os.path.join(home, "standalone")
    for name in ("jboss.http.port", "jboss.https.port", "jboss.management.http.port",
                 "jboss.management.https.port", "jboss.ajp.port"):
        ports[name] = r.free_port()
    app = os.path.join(standalone, "deployments", "demo.war")
    os.makedirs(app)
    for name, text in (("hello.jsp", JSP), ("../demo.war.dodeploy", "")):
        with open(os.path.join(app, name), "w", encoding="utf-8") as f:
            f.write(text)
    replace_in(os.path.join(standalone, "configuration", "standalone-full.xml"),
               topic=('<jms-queue name="DLQ"', '<jms-topic name="news" entries="java:/jms/topic/news"/>'
                      '<jms-queue name="DLQ"'),
               statistics=('<server name="default">', '<server name="default">'))
    process = g.start("wildfly", [os.path.join(home, "bin", "standalone.sh"), "-c",
                                  "standalone-full.xml", "-b", "127.0.0.1", "-bmanagement", "127.0.0.1",
                                  "-bunsecure", "127.0.0.1", "-Dwildfly.statistics-enabled=true",
                                  *(f"-D{key}={port}" for key, port in ports.items())],
                      {"JAVA_OPTS": "-Xmx512m -XX:+UseSerialGC -Djava.net.preferIPv4Stack=true "
                                    "-Djboss.modules.system.pkgs=org.jboss.byteman "
                                    "-Djava.awt.headless=true", "JBOSS_HOME": home})
    url = f"http://127.0.0.1:{ports['jboss.http.port']}/demo/hello.jsp"
    wait_for("WildFly serves", lambda: "hello" in (get(url) or ""), 180, 0.5)
    g.await_line(process, "WFLYSRV0025|WFLYSRV0026", 120)
    get(url)
    g.poll(g.child_java(process), "wildfly")


# --- brokers ---

def zookeeper(g):
    """ZooKeeper alone, and an ensemble of three"""
    libs = g.fetch()

    def start(name, extra, port):
        data = g.path(name)
        os.makedirs(data)
        if extra:
            with open(os.path.join(data, "myid"), "w", encoding="ascii") as f:
                f.write(name[-1])
        config = g.write(name + ".cfg", f"tickTime=500\ninitLimit=20\nsyncLimit=10\ndataDir={data}\n"
                         f"clientPort={port}\nclientPortAddress=127.0.0.1\nadmin.enableServer=false\n"
                         + extra)
        process = g.java(name, libs + "/*", "org.apache.zookeeper.server.quorum.QuorumPeerMain", config,
                         heap="96m")
        g.poll(process.pid, "zookeeper", name)

    start("alone", "", r.free_port())
    members = "".join(f"server.{i}=127.0.0.1:{r.free_port()}:{r.free_port()}\n" for i in (1, 2, 3))
    for i in (1, 2, 3):
        start(f"member{i}", members, r.free_port())


def artemis(g):
    """ActiveMQ Artemis with a queue, filled and read; its guard lets in only who has a password"""
    home, port, jmx = g.unzip(), r.free_port(), r.free_port()
    make_runnable(home)
    broker = g.path("broker")
    r.must_run([os.path.join(home, "bin", "artemis"), "create", broker, "--silent", "--user", "admin",
                "--password", "admin", "--allow-anonymous", "--host", "127.0.0.1", "--default-port",
                str(port), "--no-amqp-acceptor", "--no-hornetq-acceptor", "--no-mqtt-acceptor",
                "--no-stomp-acceptor", "--no-web", "--no-autotune", "--nio", "--queues", "orders"], 120)
    replace_in(os.path.join(broker, "etc", "management.xml"),
               connector=('<!--<connector connector-port="1099"/>-->',
                          f'<connector connector-host="127.0.0.1" connector-port="{jmx}"/>'))
    process = g.start("artemis", [os.path.join(broker, "bin", "artemis"), "run"],
                      {"JAVA_ARGS": "-Xms64m -Xmx256m -XX:+UseSerialGC"})
    g.await_line(process, "AMQ221007", 120)
    url = ["--url", f"tcp://127.0.0.1:{port}", "--destination", "queue://orders"]
    for what, count in (("producer", "50"), ("consumer", "20")):
        r.must_run([os.path.join(broker, "bin", "artemis"), what, *url, "--message-count", count], 120)
    g.poll(f"127.0.0.1:{jmx}", "artemis", username="admin", password="admin")


def activemq(g):
    """ActiveMQ Classic, embedded: queue, topic, durable subscription"""
    g.program("ActiveMqBroker", g.fetch(), g.path("data"), preset="activemq")


def kafka(g):
    """Kafka: broker, clients of every kind, Connect with MirrorMaker"""
    libs = g.fetch()
    port, controller, rest = r.free_port(), r.free_port(), r.free_port()
    bootstrap = f"127.0.0.1:{port}"
    properties = g.write("server.properties", "".join(f"{k}={v}\n" for k, v in {
        **r.Kafka.settings(port, controller, g.path("data")), "auto.create.topics.enable": "true",
        "log.cleaner.enable": "true"}.items()))
    r.must_run(["java", "-Xmx256m", "-cp", libs + "/*", "kafka.tools.StorageTool", "format",
                "--cluster-id=" + r.Kafka.cluster_id(), "--config", properties])
    broker = g.java("broker", libs + "/*", "kafka.Kafka", properties, heap="512m")
    wait_for("Kafka listens", lambda: listens(port) or not broker.alive(), 120, 0.3)
    g.poll(broker.pid, "kafka-broker")
    g.program("KafkaClients", libs, bootstrap, g.path("streams"), preset="kafka-clients")
    connect(g, libs, bootstrap, rest)
    return {"kafka-broker/zookeeper": KAFKA_OLD}


def connect(g, libs, bootstrap, rest):
    worker = g.write("connect.properties", f"bootstrap.servers={bootstrap}\ngroup.id=connect\n" + "".join(
        f"{what}.storage.topic=connect-{what}\n{what}.storage.replication.factor=1\n"
        for what in ("config", "offset", "status")) + "".join(
        f"{what}.converter=org.apache.kafka.connect.storage.StringConverter\n" for what in ("key", "value"))
        + f"listeners=http://127.0.0.1:{rest}\noffset.flush.interval.ms=1000\nplugin.discovery=only_scan\n"
        "offset.storage.partitions=1\nstatus.storage.partitions=1\n")
    process = g.java("connect", libs + "/*", "org.apache.kafka.connect.cli.ConnectDistributed", worker,
                     heap="384m")
    url = f"http://127.0.0.1:{rest}/connectors"
    wait_for("Connect answers", lambda: process.alive() and get(url) == "[]", 180, 0.5)
    source = g.write("source.txt", "".join(f"line {i}\n" for i in range(100)))
    mirror = {"source.cluster.alias": "a", "target.cluster.alias": "b", "tasks.max": "1",
              "source.cluster.bootstrap.servers": bootstrap, "replication.factor": "1",
              "target.cluster.bootstrap.servers": bootstrap, "emit.checkpoints.interval.seconds": "1",
              "refresh.topics.interval.seconds": "5", "refresh.groups.interval.seconds": "5",
              "checkpoints.topic.replication.factor": "1", "offset-syncs.topic.replication.factor": "1"}
    bytes_as_they_are = {f"{what}.converter": "org.apache.kafka.connect.converters.ByteArrayConverter"
                         for what in ("key", "value")}
    package = "org.apache.kafka.connect."
    for name, config in {
            "lines": {"connector.class": package + "file.FileStreamSourceConnector", "file": source,
                      "topic": "lines"},
            "sink": {"connector.class": package + "file.FileStreamSinkConnector", "topics": "orders",
                     "file": g.path("sink.txt"), "errors.tolerance": "all",
                     "errors.deadletterqueue.topic.name": "dead",
                     "errors.deadletterqueue.topic.replication.factor": "1"},
            "mirror": {**mirror, **bytes_as_they_are, "topics": "orders",
                       "connector.class": package + "mirror.MirrorSourceConnector"},
            "checkpoints": {**mirror, **bytes_as_they_are, "groups": ".*",
                            "connector.class": package + "mirror.MirrorCheckpointConnector"}}.items():
        answer = get(url, json.dumps({"name": name, "config": config}).encode())
        expect(answer and '"config"' in answer, f"Connect refuses {name}: {answer}")
    g.poll(process.pid, "kafka-connect")


# --- the others ---

def jvm(g):
    """Every JDK of this machine"""
    classes, found = r.compile_fixture(g.work), r.jdks()
    for version, home in found.items():
        process = g.start(f"jdk{version}", [os.path.join(home, "bin", "java"), "-Xmx64m", "-cp", classes,
                                            "Fixture"], stdin=subprocess.PIPE)
        g.await_line(process, "ready")
        g.poll(process.pid, "jvm", f"jdk{version}")
    print(f"     JDKs: {', '.join(map(str, found))}", flush=True)
    return {"jvm/virtual-threads": "JDK 21 and later have it"} if max(found) < 21 else {}



def hikaricp(g):
    """HikariCP over H2, a connection held"""
    g.program("Pools", g.fetch(), preset="hikaricp")


def hadoop(g):
    """HDFS: NameNode and two DataNodes in one JVM"""
    g.program("MiniHdfs", g.fetch(), g.path("dfs"), heap="512m", preset="hadoop")


# What these products ask of a JDK from 9 on, as their own start scripts do.
OPENS = [f"--add-opens=java.base/{name}=ALL-UNNAMED" for name in (
    "java.io", "java.lang", "java.lang.module", "java.lang.reflect", "java.math", "java.net", "java.nio",
    "java.util", "java.util.concurrent", "java.util.concurrent.atomic", "jdk.internal.loader",
    "jdk.internal.math", "jdk.internal.misc", "jdk.internal.module", "jdk.internal.ref",
    "jdk.internal.reflect", "jdk.internal.util.jar", "sun.nio.ch")] + [
    f"--add-exports=java.base/{name}=ALL-UNNAMED" for name in (
        "java.lang.ref", "java.lang.reflect", "jdk.internal.misc", "jdk.internal.ref", "sun.nio.ch")] + [
    "--add-opens=jdk.management/com.sun.management.internal=ALL-UNNAMED",
    "--add-exports=java.management.rmi/com.sun.jmx.remote.internal.rmi=ALL-UNNAMED",
    "--add-exports=java.rmi/sun.rmi.registry=ALL-UNNAMED",
    "--add-exports=java.rmi/sun.rmi.server=ALL-UNNAMED",
    "--add-exports=java.sql/java.sql=ALL-UNNAMED"]


def cassandra(g):
    """Cassandra, one node: tables, an index, a view, counters, a conditional insert, an unavailable"""
    home = r.jdks().get(17)
    if not home:
        raise r.Skipped("needs JDK 17: Cassandra runs on no later one")
    libs, port, storage = g.fetch(), r.free_port(), r.free_port()
    places = "".join(f"{key}: {g.path('data', key)}\n" for key in (
        "commitlog_directory", "saved_caches_directory", "hints_directory", "cdc_raw_directory"))
    config = g.write("cassandra.yaml", f"""cluster_name: e2e
partitioner: org.apache.cassandra.dht.Murmur3Partitioner
endpoint_snitch: SimpleSnitch
commitlog_sync: periodic
commitlog_sync_period: 10s
listen_address: 127.0.0.1
rpc_address: 127.0.0.1
storage_port: {storage}
native_transport_port: {port}
materialized_views_enabled: true
num_tokens: 1
seed_provider:
  - class_name: org.apache.cassandra.locator.SimpleSeedProvider
    parameters: [{{seeds: "127.0.0.1:{storage}"}}]
data_file_directories: ["{g.path('data', 'files')}"]
{places}""")
    g.write("classes/logback.xml", '<configuration><root level="WARN"/></configuration>\n')
    jamm = glob.glob(os.path.join(libs, "jamm-*.jar"))[0]
    g.program("CassandraNode", libs, str(port), heap="512m", preset="cassandra", env={
        "PATH": os.path.join(home, "bin") + ":" + os.environ["PATH"]}, options=[
        *OPENS, "-javaagent:" + jamm, f"-Dcassandra.config=file://{config}",
        f"-Dcassandra.storagedir={g.path('data')}", "-Dcassandra.ring_delay_ms=100",
        "-Dcassandra-foreground=yes",
        "-Dcassandra.skip_wait_for_gossip_to_settle=0"])


def hbase(g):
    """HBase in local mode: a table and every kind of request"""
    libs = g.fetch()
    site = {"hbase.rootdir": "file://" + g.path("root"), "hbase.tmp.dir": g.path("tmp"),
            "hbase.zookeeper.property.dataDir": g.path("zookeeper"),
            "hbase.zookeeper.property.clientPort": r.free_port(), "hbase.zookeeper.quorum": "127.0.0.1",
            "hbase.master.port": r.free_port(), "hbase.regionserver.port": r.free_port(),
            "hbase.master.info.port": -1, "hbase.regionserver.info.port": -1,
            "hbase.master.ipc.address": "127.0.0.1", "hbase.regionserver.ipc.address": "127.0.0.1",
            "hbase.master.hostname": "localhost", "hbase.regionserver.hostname": "localhost",
            "hbase.unsafe.stream.capability.enforce": "false", "hbase.wal.provider": "filesystem"}
    g.write("classes/hbase-site.xml", "<configuration>" + "".join(
        f"<property><name>{key}</name><value>{value}</value></property>" for key, value in site.items())
        + "</configuration>\n")
    g.program("HBaseLocal", libs, heap="512m", preset="hbase", options=OPENS)


def solr(g):
    """Solr with a JMX reporter and a core in use"""
    libs = g.fetch()
    g.write("home/solr.xml", '''<solr><metrics><reporter name="jmx"
class="org.apache.solr.metrics.reporters.SolrJmxReporter"/></metrics></solr>\n''')
    g.write("home/orders/core.properties", "name=orders\n")
    g.write("home/orders/conf/solrconfig.xml", '''<config><luceneMatchVersion>9.12</luceneMatchVersion>
<schemaFactory class="ClassicIndexSchemaFactory"/><updateHandler/>
<query><filterCache size="64"/><queryResultCache size="64"/><documentCache size="64"/></query>
<requestHandler name="/select" class="solr.SearchHandler"/></config>\n''')
    g.write("home/orders/conf/schema.xml", '''<schema name="orders" version="1.6"><uniqueKey>id</uniqueKey>
<fieldType name="word" class="solr.StrField"/><fieldType name="text" class="solr.TextField"><analyzer>
<tokenizer class="solr.WhitespaceTokenizerFactory"/></analyzer></fieldType>
<field name="id" type="word" indexed="true" stored="true"/>
<field name="name" type="text" indexed="true" stored="true"/></schema>\n''')
    g.program("SolrCore", libs, g.path("home"), "orders", preset="solr")


PRODUCTS = [jvm, tomcat, jetty, zookeeper, artemis, kafka, wildfly, activemq, hikaricp, hadoop,
            cassandra, hbase, solr]
