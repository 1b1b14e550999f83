"""
The HTTP handlers of the SaaS Builder Toolkit's control plane, unchanged, on one port of this machine: API Gateway's place.

python3 control_plane.py <directory of its functions>; prints the port.
"""
import importlib.util
import os
import sys
import types
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def handler_of(name):
    spec = importlib.util.spec_from_file_location(name.replace("-", "_"), f"{sys.argv[1]}/{name}/index.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, "handler", None) or module.lambda_handler


class Gateway(BaseHTTPRequestHandler):
    def answer(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0))).decode()
        name = self.path.split("/")[1]
        event = {
            "version": "2.0",
            "rawPath": self.path,
            "headers": {key.lower(): value for key, value in self.headers.items()},
            "requestContext": {"http": {"method": self.command, "path": self.path}, "stage": "$default", "requestId": "1"},
            "body": body,
            "isBase64Encoded": False,
        }
        context = types.SimpleNamespace(
            function_name=name, memory_limit_in_mb=128, invoked_function_arn=name, aws_request_id="1"
        )
        response = handlers[name](event, context)
        self.send_response(response["statusCode"])
        self.end_headers()
        self.wfile.write(response["body"].encode())

    do_DELETE = do_GET = do_PATCH = do_POST = do_PUT = answer

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Gateway)
os.environ["TENANT_API_URL"] = f"http://127.0.0.1:{server.server_port}/"
handlers = {"tenants": handler_of("tenant-management"), "tenant-registrations": handler_of("tenant-registrations")}
print(server.server_port, flush=True)
server.serve_forever()
