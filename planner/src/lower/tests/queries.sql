SELECT k, s FROM t WHERE g > 1 OR g IS NULL
SELECT g, count(*) AS n, sum(v) AS total, min(s) AS least FROM t GROUP BY g
SELECT count(*) AS n, count(DISTINCT g) AS d, max(v) AS top FROM t WHERE k > 100
SELECT count(*) AS n, count(DISTINCT g) AS d, sum(k) AS top FROM t
SELECT DISTINCT a, b FROM bag
SELECT g, count(*) AS n FROM t GROUP BY g HAVING count(*) > 1
SELECT t.k, u.k, u.w FROM t JOIN u ON t.k = u.tk
SELECT t.k, u.w FROM t JOIN u ON t.k = u.tk AND u.w > t.g
SELECT a.a, b.b FROM bag a JOIN bag b ON a.a = b.b
SELECT a.a, b.b FROM bag a JOIN bag b ON a.a IS NOT DISTINCT FROM b.a
SELECT a.a, b.b FROM bag a, bag b WHERE a.a < b.b
SELECT t.k, u.k FROM t, u WHERE t.k = 1
SELECT t.k, u.w FROM t LEFT JOIN u ON t.k = u.tk
SELECT a.a, a.b, b.c FROM bag a LEFT JOIN bag b ON a.a = b.b
SELECT a.a, a.b, b.c FROM bag a LEFT JOIN bag b ON a.a = b.b AND a.c < b.c
SELECT a.a, a.b, b.c FROM bag a LEFT JOIN bag b ON a.a = b.b AND a.b > 1
SELECT a.a, a.b, b.c FROM bag a LEFT JOIN bag b ON a.a < b.b
SELECT a.a, b.b, b.c FROM bag a RIGHT JOIN bag b ON a.a = b.b AND a.c = 'x'
SELECT a.a, b.b, b.c FROM bag a FULL JOIN bag b ON a.a = b.b
SELECT a.a, b.b, b.c FROM bag a FULL JOIN bag b ON a.a = b.b AND a.c <> b.c
SELECT t.k, u.k, log.id FROM t LEFT JOIN u ON t.k = u.tk LEFT JOIN log ON u.w = log.x
SELECT t.k, u.k, log.id FROM t JOIN u ON t.k = u.tk JOIN log ON log.tk = t.k AND log.x > u.w
SELECT k FROM t UNION ALL SELECT tk FROM u
SELECT k FROM t UNION SELECT tk FROM u
SELECT count(*) AS n FROM (SELECT k FROM t UNION ALL SELECT k FROM u) AS p
SELECT k, v FROM t ORDER BY v DESC, k LIMIT 3
SELECT k FROM t ORDER BY v, k LIMIT 2 OFFSET 1
SELECT k, g FROM (SELECT k, g, row_number() OVER (PARTITION BY g ORDER BY k DESC) AS n FROM t) AS p WHERE n <= 1
SELECT k, n FROM (SELECT k, g, row_number() OVER (PARTITION BY g ORDER BY k DESC) AS n FROM t) AS p WHERE n = 1 AND k < 7
WITH sums AS (SELECT g, sum(k) AS total FROM t GROUP BY g) SELECT a.g, b.g FROM sums a JOIN sums b ON a.total = b.total
SELECT 1 AS a, 'x' AS b
SELECT t.k, p.a FROM t JOIN (VALUES (1), (2), (NULL)) AS p(a) ON t.k = p.a
SELECT g FROM t EXCEPT SELECT tk FROM u
SELECT g FROM t INTERSECT SELECT tk FROM u
SELECT k FROM t WHERE EXISTS (SELECT 1 FROM u WHERE u.tk = t.k)
SELECT k FROM t WHERE NOT EXISTS (SELECT 1 FROM u WHERE u.tk = t.k)
SELECT k FROM t WHERE EXISTS (SELECT 1 FROM u WHERE u.tk = t.k AND u.w > t.v)
SELECT k FROM t WHERE EXISTS (SELECT 1 FROM u WHERE u.w < t.v)
SELECT k FROM t WHERE EXISTS (SELECT 1 FROM u)
SELECT k FROM t WHERE NOT EXISTS (SELECT 1 FROM u WHERE w > 100)
SELECT a, b FROM bag WHERE EXISTS (SELECT 1 FROM bag x WHERE x.b = bag.a)
SELECT a, b FROM bag WHERE NOT EXISTS (SELECT 1 FROM bag x WHERE x.b = bag.a)
SELECT k FROM t WHERE k IN (SELECT tk FROM u)
SELECT k FROM t WHERE k NOT IN (SELECT tk FROM u)
SELECT k FROM t WHERE k NOT IN (SELECT tk FROM u WHERE tk IS NOT NULL)
SELECT k FROM t WHERE g NOT IN (SELECT tk FROM u WHERE tk IS NOT NULL)
SELECT k FROM t WHERE g NOT IN (SELECT tk FROM u WHERE w > 100)
SELECT k FROM t WHERE g NOT IN (SELECT w FROM u WHERE u.tk = t.k)
SELECT k FROM t WHERE g IN (SELECT w - 9 FROM u WHERE u.tk = t.k)
SELECT a FROM bag WHERE a NOT IN (SELECT x.b FROM bag x WHERE x.a = bag.b)
SELECT k FROM t WHERE 3 NOT IN (SELECT w FROM u)
SELECT k FROM t WHERE 4 NOT IN (SELECT w FROM u WHERE w IS NOT NULL)
SELECT k FROM t WHERE k NOT IN (SELECT tk FROM u) OR k = 2
SELECT k, k IN (SELECT tk FROM u) AS i FROM t
SELECT k, g NOT IN (SELECT tk FROM u WHERE tk IS NOT NULL) AS i FROM t
SELECT k, g IN (SELECT w FROM u WHERE u.tk = t.k) AS i FROM t
SELECT k, EXISTS (SELECT 1 FROM u WHERE u.tk = t.k) AS e FROM t
SELECT k, NOT EXISTS (SELECT 1 FROM u WHERE u.tk = t.k) AS e FROM t
SELECT k, CASE WHEN EXISTS (SELECT 1 FROM u WHERE u.tk = t.k) THEN 'y' ELSE 'n' END AS e FROM t
SELECT k FROM t WHERE EXISTS (SELECT count(*) FROM u WHERE u.tk = t.k)
SELECT k, (SELECT max(w) FROM u) AS m FROM t
SELECT k, (SELECT max(w) FROM u WHERE u.tk = t.k) AS m FROM t
SELECT k, (SELECT count(*) FROM u WHERE u.tk = t.k) AS m FROM t
SELECT k, (SELECT count(*) FROM u WHERE u.tk < t.k) AS m FROM t
SELECT k, (SELECT sum(w) + t.k FROM u WHERE u.tk = t.k) AS m FROM t
SELECT k, (SELECT sum(w + t.k) FROM u WHERE u.tk = t.k OR u.w = t.g) AS m FROM t
SELECT k FROM t WHERE v > (SELECT avg(v) FROM t)
SELECT k FROM t WHERE v > (SELECT avg(x.v) FROM t x WHERE x.g = t.g)
SELECT k FROM t WHERE v >= (SELECT max(x.v) FROM t x WHERE x.g IS NOT DISTINCT FROM t.g)
SELECT k, (SELECT w FROM u WHERE u.tk = t.k ORDER BY w DESC LIMIT 1) AS m FROM t
SELECT k, (SELECT w FROM u ORDER BY k LIMIT 1) AS m FROM t
SELECT a, (SELECT count(*) FROM bag x WHERE x.b = bag.a) AS n FROM bag
SELECT k FROM t WHERE EXISTS (SELECT 1 FROM u WHERE u.tk = t.k AND EXISTS (SELECT 1 FROM log WHERE log.x > u.w AND log.tk = t.k))
SELECT k FROM t WHERE NOT EXISTS (SELECT 1 FROM u WHERE u.tk = t.k AND u.w > (SELECT min(x) FROM log WHERE log.id = t.k))
SELECT k FROM t WHERE EXISTS (SELECT 1 FROM u x WHERE x.tk = t.k AND x.w IN (SELECT y.w FROM u y WHERE y.tk = x.tk AND y.k <> x.k))
SELECT k FROM t WHERE EXISTS (SELECT 1 FROM u JOIN log ON u.w < log.x WHERE log.tk = t.g)
SELECT k FROM t WHERE EXISTS (SELECT 1 FROM u LEFT JOIN log ON u.w = log.x AND log.tk = t.g WHERE log.id IS NULL AND u.tk = t.k)
SELECT k FROM t WHERE k IN (SELECT max(u.tk) FROM u GROUP BY u.w > t.g)
SELECT k FROM t WHERE k IN (SELECT tk FROM u WHERE u.w > t.g UNION ALL SELECT id FROM log WHERE log.x > t.k)
SELECT g, count(*) AS n FROM t GROUP BY g HAVING count(*) > (SELECT min(w) FROM u WHERE u.k = t.g)
SELECT k FROM t WHERE (SELECT count(*) FROM u WHERE u.tk = t.k) = 0
SELECT k FROM t WHERE (k IN (SELECT tk FROM u)) IS NULL
SELECT k FROM t WHERE NOT (k IN (SELECT tk FROM u WHERE tk > 2))
SELECT x.k FROM (SELECT k, g FROM t WHERE g IN (SELECT tk FROM u)) AS x WHERE EXISTS (SELECT 1 FROM t y WHERE y.g = x.g AND y.k <> x.k)
SELECT k FROM t WHERE k IN (SELECT k FROM t WHERE g = 1)
SELECT k FROM t WHERE EXISTS (SELECT 1 FROM t WHERE g = 2)
SELECT a.k, b.k FROM t a JOIN t b ON a.g = b.g AND a.k < b.k WHERE EXISTS (SELECT 1 FROM u WHERE u.tk = a.k)
SELECT k, (SELECT count(*) + 1 FROM u WHERE u.tk = t.g) AS m FROM t
SELECT k, (SELECT sum(w) FROM u WHERE u.tk + 1 = t.k AND w > 2) AS m FROM t
SELECT k, (SELECT count(DISTINCT w) FROM u WHERE t.k = u.tk AND u.k < t.k + 3) AS m FROM t
SELECT k, (SELECT max(p.w) FROM (SELECT tk, w FROM u) AS p WHERE p.tk = t.k) AS m FROM t
SELECT a, EXISTS (SELECT 1 FROM bag x WHERE x.b = bag.a AND x.c IS NOT NULL) AS e FROM bag
SELECT a, b IN (SELECT x.b FROM bag x WHERE x.a = bag.a) AS e FROM bag
SELECT a, b NOT IN (SELECT x.a FROM bag x WHERE x.b = bag.b) AS e FROM bag
SELECT k FROM t WHERE (SELECT sum(w) FROM u WHERE u.tk = t.k) > 5 OR g IS NULL
SELECT k, (SELECT max(w) FROM u WHERE u.tk = t.k) + (SELECT min(x) FROM log WHERE log.tk = t.k) AS m FROM t
SELECT k FROM t WHERE v = (SELECT max(x.v) FROM t x WHERE x.g = t.g AND x.k <> t.k)
SELECT t.k, u.k FROM t JOIN u ON t.k = u.tk WHERE u.w = (SELECT max(x.w) FROM u x WHERE x.tk = t.k)
SELECT g, sum(v) AS s FROM t WHERE k IN (SELECT tk FROM u) GROUP BY g
SELECT DISTINCT s FROM t WHERE EXISTS (SELECT 1 FROM bag WHERE bag.a = t.g) ORDER BY s
SELECT k FROM t WHERE EXISTS (SELECT 1 FROM u WHERE u.tk = t.k GROUP BY u.tk HAVING count(*) > 1)
SELECT x.g, x.n FROM (SELECT g, count(*) AS n FROM t GROUP BY g) AS x WHERE x.n > (SELECT avg(y.n) FROM (SELECT count(*) AS n FROM t GROUP BY g) AS y)
SELECT a.k FROM t a WHERE a.k IN (SELECT b.k FROM t b WHERE b.g IN (SELECT c.tk FROM u c WHERE c.k > a.k))
SELECT k, CASE WHEN g IN (SELECT tk FROM u WHERE tk IS NOT NULL) THEN (SELECT max(w) FROM u WHERE tk = g) ELSE -1 END AS m FROM t
SELECT a, (SELECT k FROM t WHERE k = a LIMIT 1) AS z FROM bag
SELECT count(*) AS n FROM (SELECT a, (SELECT k FROM t WHERE k = a LIMIT 1) AS z FROM bag) AS x WHERE z IS NULL
SELECT k FROM u WHERE (SELECT k FROM t WHERE k = 99 LIMIT 1) IS NULL
SELECT d.a FROM (SELECT a, (SELECT k FROM t WHERE k = a LIMIT 1) AS z FROM bag) AS d WHERE EXISTS (SELECT 1 FROM u WHERE d.z IS NULL AND u.k = 1)
SELECT d.a, (SELECT d.z IS NULL) AS e FROM (SELECT a, (SELECT k FROM t WHERE k = a LIMIT 1) AS z FROM bag) AS d
SELECT EXISTS (SELECT 1 FROM bag WHERE b = 5) AS e, 1 IN (SELECT a FROM bag) AS i, (SELECT max(w) FROM u) AS m
SELECT 1 AS one WHERE NOT EXISTS (SELECT 1 FROM t WHERE g = 9)
SELECT k, (a.k, a.g) IN (SELECT k, tk FROM u) AS b FROM t AS a
SELECT k FROM t WHERE (k, g) NOT IN (SELECT k, tk FROM u WHERE w > 2)
SELECT t.k, u.w FROM t LEFT JOIN u ON t.k = u.tk AND EXISTS (SELECT 1 FROM bag WHERE bag.a = t.g)
SELECT t.k, u.w FROM t RIGHT JOIN u ON EXISTS (SELECT 1 FROM bag WHERE bag.a = t.g AND bag.b <= u.tk)
SELECT t.k, u.w FROM t FULL JOIN u ON t.k = u.tk AND u.w IN (SELECT x FROM log) AND (SELECT count(*) FROM bag WHERE a = t.g) > 1
SELECT sum((SELECT max(w) FROM u WHERE u.tk = t.k)) AS s, count(*) FILTER (WHERE g IN (SELECT a FROM bag)) AS n FROM t
SELECT EXISTS (SELECT 1 FROM u WHERE u.tk = t.k) AS e, count(*) AS n FROM t GROUP BY e
SELECT a, count(DISTINCT (b, c)) AS n FROM bag GROUP BY a
SELECT -k AS k FROM u ORDER BY u.k LIMIT 3
SELECT g, a, count(*) AS n, grouping(g, a) AS i FROM t JOIN bag ON t.k = bag.b GROUP BY ROLLUP (g, a)
SELECT a + 1 AS x, max(b) AS hi FROM bag GROUP BY CUBE (x, c)
SELECT b FROM bag WHERE b > 100 GROUP BY GROUPING SETS ((b), (), ())
