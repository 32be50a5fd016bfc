"""The header that keeps a browser from asking anybody else."""

import asyncio

from mmood.demo.headers import POLICY, PolicyHeader


def test_every_answer_has_it():
    sent = []

    async def app(scope, receive, send):
        start = dict(type='http.response.start', headers=[(b'a', b'b')])
        await send(start)
        await send(dict(type='http.response.body', body=b'x'))
        assert start['headers'] == [(b'a', b'b')]

    async def send(message):
        sent.append(message)

    asyncio.run(PolicyHeader(app)({}, None, send))
    header = (b'content-security-policy', POLICY.encode())
    assert sent[0]['headers'] == [(b'a', b'b'), header]
    assert sent[1] == dict(type='http.response.body', body=b'x')


def test_no_source_is_another_server():
    rules = dict(rule.split(' ', 1) for rule in POLICY.split('; '))
    assert rules['default-src'] == "'self'"
    local = {"'self'", "'none'", "'unsafe-inline'", "'unsafe-eval'"}
    for sources in rules.values():
        assert set(sources.split()) <= local | {'data:', 'blob:'}
