. /tmp/atk/env.sh
for p in 5515 5518; do for d in atk_1 atk_2 atk_r atk_r2 atk_own; do q $p postgres postgres -qc "drop database if exists $d with (force)"; done
for r in atk_a atk_b atk_ro atk_bi atk_aud atk_op atk_svc atk_none atk_cr atk_gone; do q $p postgres postgres -qc "drop role if exists $r"; done; q $p postgres postgres -Atc "select datname from pg_database" -c "select rolname from pg_roles where rolname like 'atk%'" | tr '\n' ' '; done
