total = total + line.amount
    raise Forbidden(user)
connect(host, port)
items.sort(key=price)
connect(host, port)
    raise Forbidden(user)
items.sort(key=price)
// TODO: add a test
connect(host, port)
log.info('todo list loaded')
log.info('todo list loaded')
total = total + line.amount
if not user.active:
items.sort(key=price)
connect(host, port)
if not user.active:
close()
connect(host, port)
if not user.active:
    raise Forbidden(user)
    raise Forbidden(user)
total = total + line.amount
log.info('todo list loaded')
close()
close()
return render(page)
log.info('todo list loaded')
items.sort(key=price)
total = total + line.amount
items.sort(key=price)
    raise Forbidden(user)
items.sort(key=price)
if not user.active:
return render(page)
if not user.active:
log.info('todo list loaded')
connect(host, port)
