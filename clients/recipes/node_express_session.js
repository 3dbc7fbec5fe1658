// Sessions of Express:  node node_express_session.js HOST PORT HTTP_PORT
// npm: express, express-session, connect-memcached
'use strict';

const express = require('express');
const session = require('express-session');
const MemcachedStore = require('connect-memcached')(session);

const [host, port, httpPort] = process.argv.slice(2);
const app = express();

app.use(session({
  secret: 'a secret of your own',
  resave: false,
  saveUninitialized: false,
  cookie: { maxAge: 3600 * 1000 }, // the items' time to live, in milliseconds
  // With a secret here sessions are encrypted in the cache, and then nothing can compress them.
  store: new MemcachedStore({ hosts: [`${host}:${port}`], prefix: 'express:', timeout: 2000 }),
}));

app.get('/', (request, response) => {
  request.session.visits = (request.session.visits || 0) + 1;
  response.type('text').send(`visit ${request.session.visits}\n`);
});

app.listen(Number(httpPort), '127.0.0.1');
