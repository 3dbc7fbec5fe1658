<?php
// PHP's sessions:  MEMCACHED=HOST:PORT php -S 127.0.0.1:HTTP_PORT php_session.php
// Debian: php-memcached. What is set here stands in php.ini otherwise.
declare(strict_types=1);

ini_set('session.save_handler', 'memcached');
ini_set('session.save_path', getenv('MEMCACHED'));
ini_set('session.gc_maxlifetime', '3600'); // the items' time to live, in seconds
ini_set('memcached.sess_binary_protocol', '0'); // on by default, which memcached calls deprecated
ini_set('memcached.sess_connect_timeout', '1000');
// Of one user's requests one at a time has the session; a lock whose owner died goes in 30 s.
ini_set('memcached.sess_locking', '1');
ini_set('memcached.sess_lock_expire', '30');

session_start();
$_SESSION['visits'] = ($_SESSION['visits'] ?? 0) + 1;
header('Content-Type: text/plain');
echo 'visit ', $_SESSION['visits'], "\n";
