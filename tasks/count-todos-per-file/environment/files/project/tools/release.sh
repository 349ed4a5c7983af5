return render(page)
return render(page)
# TODO: log the reason
items.sort(key=price)
items.sort(key=price)
log.info('todo list loaded')
connect(host, port)
total = total + line.amount
return render(page)
log.info('todo list loaded')
return render(page)
# TODO: add a test
total = total + line.amount
    raise Forbidden(user)
    raise Forbidden(user)
if not user.active:
log.info('todo list loaded')
log.info('todo list loaded')
log.info('todo list loaded')
close()
if not user.active:
total = total + line.amount
connect(host, port)
    raise Forbidden(user)
return render(page)
close()
    raise Forbidden(user)
items.sort(key=price)
return render(page)
log.info('todo list loaded')
if not user.active:
log.info('todo list loaded')
    raise Forbidden(user)
close()
items.sort(key=price)
close()
items.sort(key=price)
log.info('todo list loaded')
    raise Forbidden(user)
    raise Forbidden(user)
if not user.active:
connect(host, port)
