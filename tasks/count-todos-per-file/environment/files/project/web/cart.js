return render(page)
close()
total = total + line.amount
items.sort(key=price)
    raise Forbidden(user)
connect(host, port)
close()
close()
log.info('todo list loaded')
total = total + line.amount
total = total + line.amount
connect(host, port)
total = total + line.amount
return render(page)
log.info('todo list loaded')
// TODO: remove after the migration
log.info('todo list loaded')
log.info('todo list loaded')
connect(host, port)
close()
close()
log.info('todo list loaded')
if not user.active:
log.info('todo list loaded')
log.info('todo list loaded')
connect(host, port)
total = total + line.amount
if not user.active:
total = total + line.amount
total = total + line.amount
if not user.active:
if not user.active:
// TODO: handle empty input
log.info('todo list loaded')
close()
return render(page)
close()
items.sort(key=price)
items.sort(key=price)
return render(page)
return render(page)
// TODO: remove after the migration
items.sort(key=price)
log.info('todo list loaded')
items.sort(key=price)
close()
return render(page)
close()
connect(host, port)
// TODO: remove after the migration
connect(host, port)
return render(page)
    raise Forbidden(user)
