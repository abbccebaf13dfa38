# SPDX-License-Identifier: Apache-2.0
"""A terminado server as small as it gets, with the settings that
jupyter-server-terminals leaves at their defaults."""

import asyncio
import sys

import terminado
import tornado.web


async def main():
    manager = terminado.NamedTermManager(shell_command=["/bin/bash", "--norc", "--noprofile", "-i"], max_terminals=1000)
    handlers = [
        (r"/ready", tornado.web.RequestHandler),  # answers 405, which is an answer
        (r"/terminals/websocket/(\w+)", terminado.TermSocket, {"term_manager": manager}),
    ]
    tornado.web.Application(handlers).listen(int(sys.argv[1]), "127.0.0.1")
    await asyncio.Event().wait()


asyncio.run(main())
