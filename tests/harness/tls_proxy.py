"""An HTTP proxy over TLS for tests: opens the way by CONNECT, or refuses as told.

usage: tls_proxy.py CERTIFICATE KEY open|STATUS [USER:PASSWORD [CA OF CLIENTS]]
"open" passes bytes to the host and port asked for, always on 127.0.0.1; STATUS answers every
request so. With a password it wants that by Basic. Says "port N", then a line for each request:
its first line, "auth" or "none", and "certificate" or "plain" for a client certificate shown.
"""
import base64
import select
import socket
import ssl
import sys
import threading


def read_head(sock):
    data = b""
    while b"\r\n\r\n" not in data:
        more = sock.recv(4096)
        if not more:
            return ""
        data += more
    return data.decode("latin-1")


def pass_on(near, far):
    """Both ways until one side ends; one thread, as a TLS socket stands no two."""
    while True:
        ready = [near] if near.pending() else select.select([near, far], [], [])[0]
        for source, sink in ((near, far), (far, near)):
            if source in ready:
                data = source.recv(65536)
                if not data:
                    return
                sink.sendall(data)


def answer(sock, status, more=""):
    sock.sendall(f"HTTP/1.1 {status} X\r\n{more}Content-Length: 0\r\n\r\n".encode())


def tunnel(sock, first):
    port = int(first.split()[1].rsplit(":", 1)[1])
    with socket.create_connection(("127.0.0.1", port)) as there:
        sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        pass_on(sock, there)


def serve(raw, context, how, wanted):
    try:
        with context.wrap_socket(raw, server_side=True) as sock:
            shown = "certificate" if sock.getpeercert() else "plain"
            while head := read_head(sock):
                first = head.split("\r\n", 1)[0]
                has = f"Proxy-Authorization: Basic {wanted}\r\n" in head
                print(first, "auth" if has else "none", shown, flush=True)
                if wanted and not has:
                    answer(sock, 407, 'Proxy-Authenticate: Basic realm="x"\r\n')
                elif how != "open":
                    answer(sock, how)
                elif first.startswith("CONNECT"):
                    tunnel(sock, first)
                    return
                else:
                    answer(sock, 200)
    except OSError as e:
        print("failed:", e, flush=True)


def main():
    cert, key, how, *more = sys.argv[1:]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    wanted = base64.b64encode(more[0].encode()).decode() if more else ""
    if len(more) > 1:
        context.load_verify_locations(more[1])
        context.verify_mode = ssl.CERT_OPTIONAL
    listener = socket.create_server(("127.0.0.1", 0))
    print("port", listener.getsockname()[1], flush=True)
    while True:
        raw, _ = listener.accept()
        threading.Thread(target=serve, args=(raw, context, how, wanted), daemon=True).start()


main()
