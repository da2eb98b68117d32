-- The few rounds that are under way, among all that ever were: asked whenever a blob is about to be removed.
create index round_under_way on round (run_id, number) where state in ('open', 'folding');
