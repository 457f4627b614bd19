# What the operator does to the campaign: ./hublab has it, and takes it to the server of a deploy. Included by the Makefile.
# The operator's own campaigns, as `.env` names their folder.
FLOWS = HUBLAB_CAMPAIGNS="$$($(BIN)/python -m deploy.campaigns)" && export HUBLAB_CAMPAIGNS && $(BIN)/python -m
takes.demo := SPEED
takes.chaos := ENROLMENTS EVERY
takes.secrets := ENV
takes.preview := TEMPLATE
takes.test-send := TEMPLATE TO
takes.retry-failed := LIST CUSTOMERS
takes.stop-person := TO
takes.allow-person := TO COMPLAINED YES
takes.forget-mail := MAIL
takes.erase-person := TO
takes.campaign-status := JSON HTML
takes.cutover := PERSON JSON APPLY BACK

.PHONY: demo chaos coverage secrets register cutover notion-setup preflight preview test-send pause-campaign resume retry-failed stop-person allow-person forget-mail erase-person bench-flows campaign-status alert-test
demo: .venv/ready ## the campaign in a sandbox: sixteen mails, live [SPEED=times a mail a minute]
	@$(FLOWS) sandbox.campaign demo $(if $(SPEED),--speed $(SPEED))
chaos: .venv/ready ## all that runs is killed or cut off, people leave: nothing lost, nothing doubled; a row in docs/chaos.md [ENROLMENTS=200 EVERY=5]
	@$(FLOWS) sandbox.campaign chaos --table docs/chaos.md $(if $(ENROLMENTS),--enrolments $(ENROLMENTS)) $(if $(EVERY),--every $(EVERY))
coverage: .venv/ready ## branch coverage of flows/ by its tests; 95 % at least
	@$(BIN)/pytest -q $(SPREAD) --cov=flows --cov-branch --cov-report=term-missing:skip-covered --cov-fail-under=95 tests/flows
secrets: .venv/ready ## Secret blocks at Prefect from .env; prints names only [ENV=file]
	@./hublab campaign secrets $(if $(filter command,$(origin ENV)),--env $(ENV))
register: .venv/ready ## deployments and rate limits at Prefect
	@./hublab campaign register
cutover: .venv/ready ## take over the campaign that another production runs: a plan, or APPLY=yes, BACK=yes [PERSON=address JSON=1]
	@./hublab campaign cutover $(if $(PERSON),--person $(PERSON)) $(if $(JSON),--json) $(if $(APPLY),--apply) $(if $(BACK),--back)
notion-setup: .venv/ready ## add the project's own properties to the Notion workspace
	@./hublab campaign notion-setup
preflight: .venv/ready ## is everything there that the next mail needs?
	@./hublab campaign preflight
preview: .venv/ready ## TEMPLATE=name: the mail as HTML, text and PNG
	@./hublab campaign preview $(TEMPLATE)
test-send: .venv/ready ## TEMPLATE=name TO=address: send one
	@./hublab campaign test-send $(TEMPLATE) $(TO)
pause-campaign: .venv/ready ## stop all sends; none is lost
	@./hublab campaign pause
resume: .venv/ready ## continue all sends
	@./hublab campaign resume
retry-failed: .venv/ready ## run again what failed, once its cause is mended [LIST=1: name it only] [CUSTOMERS=1: what customers did not get, too]
	@./hublab campaign retry-failed $(if $(LIST),--list) $(if $(CUSTOMERS),--customers)
stop-person: .venv/ready ## TO=address: nothing more goes to it
	@./hublab campaign stop $(TO)
allow-person: .venv/ready ## TO=address: it gets mail again, who was stopped or left by mistake [COMPLAINED=1: also who has called a mail spam] [YES=1: do not ask]
	@./hublab campaign allow $(TO) $(if $(COMPLAINED),--complained) $(if $(YES),--yes)
forget-mail: .venv/ready ## MAIL=key:step: a mail that is frozen and wrong is made anew by its next try; refused where Resend has it
	@./hublab campaign forget $(MAIL)
erase-person: .venv/ready ## TO=address: remove what is kept of a person
	@./hublab campaign erase $(TO)
campaign-status: .venv/ready ## enrolled, due, sent, delivered … per step; exit 1 when it needs somebody [JSON=1] [HTML=file]
	@./hublab campaign status $(if $(JSON),--json) $(if $(HTML),--html $(HTML))
alert-test: .venv/ready ## one message to every URL of ALERT_URLS
	@./hublab campaign alert-test
bench-flows: .venv/ready ## webhook throughput, calls and CPU per mail
	@$(FLOWS) bench.flows_webhooks
	@$(FLOWS) bench.flows_calls
