    raise Forbidden(user)
connect(host, port)
log.info('todo list loaded')
connect(host, port)
log.info('todo list loaded')
if not user.active:
total = total + line.amount
connect(host, port)
log.info('todo list loaded')
close()
total = total + line.amount
items.sort(key=price)
items.sort(key=price)
total = total + line.amount
close()
close()
items.sort(key=price)
log.info('todo list loaded')
total = total + line.amount
items.sort(key=price)
if not user.active:
items.sort(key=price)
close()
close()
connect(host, port)
close()
close()
if not user.active:
connect(host, port)
    raise Forbidden(user)
close()
if not user.active:
items.sort(key=price)
items.sort(key=price)
items.sort(key=price)
    raise Forbidden(user)
    raise Forbidden(user)
if not user.active:
close()
    raise Forbidden(user)
