-- workload.sql - inserts, an index, sums, a join, a scan
-- SPDX-License-Identifier: GPL-2.0-or-later
pragma journal_mode=off;
create table t(id integer primary key, k int, v text);
with recursive c(x) as (select 1 union all select x+1 from c where x<200000) insert into t select x,(x*7919)%100003,'value-'||x from c;
create index tk on t(k);
select count(*),sum(length(v)) from t where k between 1000 and 60000;
select k%100,count(*),max(v) from t group by 1 order by 2 desc limit 5;
update t set v=v||'x' where k<30000;
select sum(a.k+b.k) from t a join t b on a.k=b.id where a.id<150000;
delete from t where id%3=0;
select count(*) from t where v like '%99%';
